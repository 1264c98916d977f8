"""The normalisation: what each preset scales, from the training cells alone."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.surrogate import Preset
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.loading import describe
from phase_lib.dataset.normalization import feature_specs, fit_normalization, fit_scaler, scaled_names
from phase_lib.dataset.split import split
from phase_lib.fusion.schema import SOIL_VARIABLES, STATE_VARIABLES
from tests.helpers.dataset import make_dataset, salt_of, shuffled_grid
from tests.helpers.surrogate import make_values, write_dataset

#: Where asinh turns linear: g m-2 and g m-3 for pools, m2 m-2 for leaf area, gC m-2 yr-1 for NPP.
FLOORS = {
    0.1: ("leafc", "deadcrootc_xfer", "cpool", "xsmrpool", "gresp_storage", "gresp_xfer", "soil4c_vr"),
    1.0e-3: ("npool", "retransn", "smin_no3_vr", "litr1n_vr", "soil1n_vr"),
    1.0e-4: ("ppool", "retransp", "cwdp_vr", "solutionp_vr", "labilep_vr", "primp_vr"),
    1.0e-2: ("tlai", "tsai", "T_SCALAR", "scalaravg_col"),
    10.0: ("annsum_npp",),
}


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_only_training_cells_shape_the_normalisation(preset: Preset, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid(6, 12), record_cells=10)
    parts = split(dataset, "random", DatasetSettings(), 0, tmp_path / "split.nc")
    layout = Layout.read(dataset, preset)
    before = fit_normalization(dataset, parts.train, layout)
    assert set(before.scalings) == scaled_names(layout)
    info = describe(dataset)
    for number in range(8):
        with netCDF4.Dataset(dataset / f"records_{number:02d}.nc", "r+") as nc:
            inside = ~parts.train[number * 10 : number * 10 + 10]
            for name, variable in info.items():
                if variable.dims[0] == "gridcell" and variable.group != "index":
                    values = np.ma.filled(nc[name][:], np.nan)
                    values[inside] *= 50.0
                    nc[name][:] = values
    assert fit_normalization(dataset, parts.train, layout).to_dict() == before.to_dict()
    everything = fit_normalization(dataset, np.ones_like(parts.train), layout)
    assert everything.scalings["TBOT"].scale > before.scalings["TBOT"].scale


@pytest.mark.parametrize(("name", "remedy"), [("soil3c_vr", "targets.drop"), ("AR", "history of the")])
def test_a_target_without_variation_is_refused(name: str, remedy: str, tmp_path: Path) -> None:
    values = make_values(cells=40)
    values[f"Y_{name}"] = np.full_like(values[f"Y_{name}"], 3.5)
    dataset = write_dataset(tmp_path, values)
    with pytest.raises(InputError, match=rf"target {name} is constant.*3\.5.*{remedy}"):
        fit_normalization(dataset, np.ones(40, dtype=bool), Layout.read(dataset))


def test_minmax_of_the_paper_is_the_range_of_the_training_cells(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, shuffled_grid(6, 12), record_cells=10)
    parts = split(dataset, "block", DatasetSettings(), 0, tmp_path / "split.nc")
    layout = Layout.read(dataset, "paper")
    scaler = fit_scaler(dataset, parts.train, feature_specs(layout))
    cell = parts.cell[parts.train].astype(float)
    expected = salt_of("soil3c_vr") + 100.0 * cell.min() + np.arange(10)
    np.testing.assert_allclose(scaler.scalings["soil3c_vr"].offset, expected)
    np.testing.assert_allclose(scaler.scalings["soil3c_vr"].scale, 100.0 * np.ptp(cell))
    # All months together, and traits across the PFTs.
    assert scaler.scalings["TBOT"].offset.shape == ()
    np.testing.assert_allclose(scaler.transform("pft_leafcn", 20.0 + np.arange(17)), np.arange(17) / 16.0)


@pytest.mark.parametrize(("floor", "names"), FLOORS.items())
def test_states_go_through_asinh_with_the_floor_of_their_element(
    floor: float, names: tuple[str, ...]
) -> None:
    layout = Layout("default", [], {}, [], list(STATE_VARIABLES), list(SOIL_VARIABLES), [], [], [], 12)
    specs = feature_specs(layout)
    assert specs["annavg_t2m"].kind == "standard"
    for name in names:
        assert (specs[name].kind, specs[name].floor) == ("asinh-standard", floor), name
        assert specs[name].per == (("levdecomp",) if name in SOIL_VARIABLES else ())
