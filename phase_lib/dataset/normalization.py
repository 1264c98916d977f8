"""Normalisation: how each input and target is scaled, fitted on the training cells of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import sha256_file
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.dataset.layout import FLUX_INPUTS, FLUX_TARGETS, Layout
from phase_lib.dataset.loading import describe, iterate_record_files
from phase_lib.dataset.scaler import Kind, Scaler, ScalerFit, Scaling, Spec
from phase_lib.dataset.split import read_split
from phase_lib.elm.constants import TRUNCATION
from phase_lib.elm.variables import POOL_VARIABLES, SURFACE_P, VARIABLES
from phase_lib.fusion.schema import TURNOVER

#: Below this share of a target's mean (of its PFT or layer) the logarithm turns linear.
FLOOR_SHARE = 1.0e-2
#: A PFT or layer whose mean is below this share of the largest one takes its floor from that share.
LEAST_MEAN_SHARE = 1.0e-6
#: Fewest training values of a PFT for statistics of its own.
LEAST_VALUES = 10

#: Where asinh turns from linear to logarithmic, in the units of the variable; states: see the registry.
_FLOORS = {
    "PRECTmms": 1.0e-5,
    "QBOT": 1.0e-3,
    **dict.fromkeys(FLUX_INPUTS, 10.0),
    **{name: {"C": 10.0, "N": 0.1}[entry.element] for name, entry in TURNOVER.items()},
    **dict.fromkeys(SURFACE_P, 0.1),
}


def normalize(
    dataset_dir: str | Path, split_file: str | Path, settings: SurrogateSettings, output: str | Path
) -> None:
    """Writes `normalization.nc`: scalings of inputs and targets from the training cells alone.

    Args:
        dataset_dir: directory of the dataset.
        split_file: split; only its training cells (not those for validation) count.
        settings: their preset decides the kind of scaling, and `leave_out` which inputs there are.
        output: file to write.

    Raises:
        InputError: the files do not fit together, or a variable has no training value.
    """
    layout = Layout.read(dataset_dir, settings.preset.kind, settings.leave_out)
    scaler = fit_normalization(dataset_dir, read_split(split_file, dataset_dir).train, layout)
    left_out, digest = " ".join(settings.leave_out), sha256_file(split_file)
    units = {name: info.units for name, info in describe(dataset_dir).items()}
    scaler.write(output, {"preset": layout.preset, "left_out": left_out, "split_sha256": digest}, units)


def fit_normalization(dataset_dir: str | Path, train: np.ndarray, layout: Layout) -> Scaler:
    """Scalings of inputs and targets.

    The default preset goes over the data twice: the logarithm of a target needs its mean.

    Args:
        dataset_dir: directory of the dataset.
        train: True in training cells (gridcell, dataset order).
        layout: variables; their preset decides the kind of scaling.

    Returns:
        Scalings under the names of the inputs, `Y_<target>` and, in the default preset,
        `correction_<target>`: log1p(Y / floor) - log1p(start / floor), where a start that is
        left out counts as 0.

    Raises:
        InputError: a variable is missing, or has no training value, or a target does not vary.
    """
    scaler = fit_scaler(dataset_dir, train, feature_specs(layout) | _target_specs(layout), LEAST_VALUES)
    scaler = Scaler({name: _if_it_varies(name, scaling) for name, scaling in scaler.scalings.items()})
    _refuse_constant_targets(dataset_dir, layout, scaler)
    if layout.follows_paper:
        return scaler
    return Scaler(scaler.scalings | _fit_corrections(dataset_dir, train, layout, scaler).scalings)


def fit_scaler(
    dataset_dir: str | Path, train: np.ndarray, specs: Mapping[str, Spec], least_values: int = 2
) -> Scaler:
    """Fits a scaler on training cells only, in one pass; masked values (NaN) do not count.

    Args:
        dataset_dir: the dataset's directory.
        train: True in training cells (gridcell, dataset order).
        specs, least_values: as for `ScalerFit`.

    Raises:
        InputError: a variable is missing or has no training value.
    """
    info = describe(dataset_dir)
    fit = ScalerFit(specs, {name: info[name].dims for name in specs if name in info}, least_values)
    with_cells = [name for name in specs if name not in info or info[name].dims[0] == "gridcell"]
    for number, (_, values) in enumerate(iterate_record_files(dataset_dir, list(specs), train)):
        # What has no cells comes with every record file and counts once.
        fit.update({name: values[name] for name in (with_cells if number else specs)})
    return fit.finish()


def scaled_names(layout: Layout) -> set[str]:
    """Names of the scalings that `fit_normalization` gives."""
    targets = [*layout.targets, *FLUX_TARGETS]
    names = {*feature_specs(layout), *(f"Y_{name}" for name in targets)}
    return names if layout.follows_paper else names | {f"correction_{name}" for name in targets}


def floors(mean: np.ndarray) -> np.ndarray:
    """Where the logarithm of a target turns linear, in its units, from its means per PFT or layer."""
    largest = float(np.max(mean, initial=0.0))
    if largest <= 0.0:
        return np.ones_like(mean)
    return np.asarray(FLOOR_SHARE * np.maximum(mean, LEAST_MEAN_SHARE * largest))


def feature_specs(layout: Layout) -> dict[str, Spec]:
    """How each input is scaled.

    The paper takes the minimum and maximum of every flattened feature. The default preset takes
    pools and fluxes through asinh, as they span orders of magnitude, and then mean and standard
    deviation; PFTs share them where their encoder is shared.
    """
    if layout.follows_paper:
        per = {name: tuple(d for d in dims if d != "gridcell") for name, dims in layout.dims().items()}
        per |= dict.fromkeys((*layout.forcing, *layout.traits), ())
        names = [n for n in layout.input_names() if not n.startswith("state20_")]
        names += layout.places
        return {name: Spec("minmax", per.get(name, ())) for name in names}
    specs = {name: Spec("standard") for name in (*layout.forcing, *layout.traits)}
    specs |= {n: Spec("asinh-standard", (), _FLOORS[n]) for n in ("PRECTmms", "QBOT") if n in specs}
    for name, dims in layout.static.items():
        if name == "SOIL_ORDER":
            continue
        if name in _FLOORS:
            specs[name] = Spec("asinh-standard", (), _FLOORS[name])
        elif dims == ["natpft"] or name.startswith(("PCT_NAT", "LANDFRAC")):
            specs[name] = Spec("minmax")
        else:
            specs[name] = Spec("standard")
    specs |= {name: _state_spec(name, ()) for name in layout.state}
    return specs | {name: _state_spec(name, ("levdecomp",)) for name in layout.soil}


def _state_spec(name: str, per: tuple[str, ...]) -> Spec:
    floor = VARIABLES[name].floor
    return Spec("standard", per) if floor is None else Spec("asinh-standard", per, floor)


def _if_it_varies(name: str, scaling: Scaling) -> Scaling:
    """Takes a pool that varies by rounding alone as constant; scaled, one real value would dwarf all else."""
    if name.removeprefix("Y_") not in POOL_VARIABLES:
        return scaling
    least = TRUNCATION / scaling.spec.floor if scaling.spec.kind.startswith("asinh") else TRUNCATION
    return replace(scaling, scale=np.where(scaling.scale > least, scaling.scale, 0.0))


def _refuse_constant_targets(dataset_dir: str | Path, layout: Layout, scaler: Scaler) -> None:
    """A target without any variation teaches nothing, and any skill of it would be empty."""
    for name in (*layout.targets, *FLUX_TARGETS):
        scaling = scaler.scalings[f"Y_{name}"]
        if not np.any(scaling.scale > 0.0):
            what = f"target {name} is constant in all training cells, {np.max(scaling.offset):.4g} at most"
            drop = f"check the reference run, or set dataset.targets.drop: [{name}]"
            remedy = drop if name in layout.targets else "check the history of the reference run"
            raise InputError(dataset_dir, what, expected="values that vary", remedy=remedy)


def _entities(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Dimension that keeps statistics of its own, by target."""
    per: dict[str, tuple[str, ...]] = dict.fromkeys(layout.patch_targets, ("natpft",))
    return per | dict.fromkeys(layout.layer_targets, ("levdecomp",)) | dict.fromkeys(FLUX_TARGETS, ())


def _target_specs(layout: Layout) -> dict[str, Spec]:
    kind: Kind = "minmax" if layout.follows_paper else "standard"
    return {f"Y_{name}": Spec(kind, per) for name, per in _entities(layout).items()}


def _fit_corrections(dataset_dir: str | Path, train: np.ndarray, layout: Layout, scaler: Scaler) -> Scaler:
    per = _entities(layout)
    dims = {f"correction_{name}": layout.dims()[f"Y_{name}"] for name in per}
    specs = {f"correction_{name}": Spec("standard", entity) for name, entity in per.items()}
    fit = ScalerFit(specs, dims, LEAST_VALUES)
    start = layout.starts()
    floor = {name: floors(scaler.scalings[f"Y_{name}"].offset) for name in per}
    for _, values in iterate_record_files(
        dataset_dir, [*(f"Y_{name}" for name in per), *start.values()], train
    ):
        corrections = {f"correction_{n}": _logarithm(values[f"Y_{n}"], floor[n]) for n in per}
        for n in start:
            corrections[f"correction_{n}"] -= _logarithm(values[start[n]], floor[n])
        fit.update(corrections)
    return fit.finish()


def _logarithm(values: np.ndarray, floor: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.maximum(values, 0.0) / floor))
