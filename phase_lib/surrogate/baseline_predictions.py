"""The predictions file of a target domain by a baseline, to set its restart beside that of a network."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.progress import LOGGER
from phase_lib.config.experiments import BASELINES
from phase_lib.dataset.loading import describe, read_cells
from phase_lib.dataset.split import read_split
from phase_lib.elm.constants import NATPFT
from phase_lib.elm.products import (
    cell_coordinates,
    creating,
    flags,
    layer_coordinates,
    pft_coordinates,
    variable,
)
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.surrogate.predictor import Baseline, Task
from phase_lib.surrogate.training import load_model


def predict_by_baseline(
    name: str,
    model: str | Path,
    dataset_dir: str | Path,
    split_file: str | Path | None,
    output: str | Path,
    domain: str | None = None,
) -> None:
    """Writes the pools that a baseline predicts for all cells of a domain, in the order of its restart.

    The baseline learns from training and validation cells of the split, as it does for the test files. There
    is no score of the distance to the training cells, so no cell is flagged.

    Args:
        name: of the baseline.
        model: `model.pt` with this split: it says what to predict, and with which seed.
        dataset_dir: dataset of the cells.
        split_file: split of the dataset.
        output: file to write.
        domain: which domain of the dataset; the only one if None.

    Raises:
        InputError: there is no split or no such baseline, no cell has complete inputs, or the dataset lacks
            what the baseline needs.
    """
    if split_file is None:
        raise InputError(None, f"baseline {name} needs training cells", remedy="give --split")
    trained, index, split = load_model(model), read_cells(dataset_dir), read_split(split_file, dataset_dir)
    layout = trained.layout
    try:
        baseline_class: type[Baseline] = BASELINES.load(name)
    except ValueError as error:
        raise InputError(None, str(error)) from error
    training = split.train | split.validation
    inside = index.of_domain(domain)
    wanted = inside & index.complete
    if not wanted.any():
        raise InputError(
            index.path, "no cell has complete inputs", remedy="see cleaning.json for the reasons"
        )
    baseline = baseline_class(Task(Path(dataset_dir), index, layout.targets, training, trained.settings.seed))
    info, count = describe(dataset_dir), int(inside.sum())
    # The restart's rows, for cells in the order of the dataset.
    row, lat, lon = index.cell[inside], np.empty(count), np.empty(count)
    if not np.array_equal(np.sort(row), np.arange(count)):
        what, remedy = "does not hold every cell of the restart once", "fuse all cells of the restart"
        raise InputError(index.path, what, expected=f"cells 0 to {count - 1}", remedy=remedy)
    lat[row], lon[row] = index.lat[inside], index.lon[inside]
    predicted = np.zeros(count, dtype=bool)
    predicted[index.cell[wanted]] = True
    sizes = dict.fromkeys(layout.patch_targets, ("natpft", NATPFT))
    sizes |= dict.fromkeys(layout.layer_targets, ("levdecomp", NLEVDECOMP))
    fields = {
        target: variable(
            ("gridcell", level),
            da.empty((count, size), chunks=-1),
            info[f"state20_{target}"].units,
            f"{target} as predicted, normal mode",
        )
        for target, (level, size) in sizes.items()
    }
    meanings = {"inputs_incomplete": 0, "predicted": 1}
    fields["predicted"] = flags("gridcell", predicted, "whether the cell is predicted", meanings)
    coordinates = cell_coordinates(lat, lon) | pft_coordinates() | layer_coordinates()
    attributes = {
        "title": f"Near-equilibrium state by the baseline {baseline.name}",
        "label_space": "normal",
        "baseline": baseline.name,
        "split": split.kind,
        "dataset_id": index.dataset_id,
    }
    with creating(output, xr.Dataset(fields, coordinates, attributes), masked=True) as file:
        # A record file of the dataset at a time.
        for number in np.unique(index.record_file[wanted]):
            cells = np.flatnonzero(wanted & (index.record_file == number))
            order = np.argsort(index.cell[cells])
            rows = index.cell[cells][order]
            for target, values in baseline.predict(cells).pools.items():
                file[target][rows] = values[order]
    LOGGER.info("%s predicted %d of %d cells", baseline.label, int(predicted.sum()), count)
