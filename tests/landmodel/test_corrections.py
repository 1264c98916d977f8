"""Corrections of the embedded model by its own rates."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.config.correction import CorrectionSettings
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.config.spinup import SpinupSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.parameters import read_parameters
from phase_lib.elm.soil_budget import BUDGET_FIELDS, SOIL_FLUXES
from phase_lib.equilibrium.correction import correct
from phase_lib.equilibrium.window import read_window
from phase_lib.injection.inject import inject
from tests.landmodel.conftest import SegmentFiles, SmallWorld

#: Depths of the nodes of ELM's layers, the ten with biogeochemistry and the next, m.
ZSOI = 0.025 * (np.exp(0.5 * (np.arange(1, 12) - 0.5)) - 1.0)
SPINUP = SpinupSettings(history_fields=list(SOIL_FLUXES))


def converted(world: SmallWorld, restart: Path, output: Path, predictions: Path | None = None) -> Path:
    """A restart in normal mode, with the pools of a predictions file."""
    files = (world.directory / name for name in ("surfdata.nc", "clm_params.nc", "CNP_parameters.nc"))
    target = output / restart.name
    output.mkdir()
    inject(restart, *files, predictions, target, InjectionSettings(), OodSettings(), audit=audit_restart)
    return target


def window_of(world: SmallWorld, start: Path, output: Path, year: int) -> SegmentFiles:
    """Twenty normal years."""
    return world.run(output, mode="normal", start_year=year, finidat=start, spinup=SPINUP)


def correction(
    world: SmallWorld, start: Path, window: SegmentFiles, output: Path, before: Path | None = None
) -> dict[str, float]:
    """Corrects the end of a window; the median size by variable."""
    account = correct(
        start,
        window.restart,
        window.cycles,
        world.directory / "clm_params.nc",
        output,
        CorrectionSettings(),
        20,
        before=before,
    )
    return {name: entry["median_size"] for name, entry in account["variables"].items()}


@pytest.fixture(scope="module")
def start(
    small_world: SmallWorld, three_cycles: SegmentFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The state of 60 accelerated years in normal mode."""
    return converted(small_world, three_cycles.restart, tmp_path_factory.mktemp("start") / "normal")


@pytest.fixture(scope="module")
def first(small_world: SmallWorld, start: Path, tmp_path_factory: pytest.TempPathFactory) -> SegmentFiles:
    return window_of(small_world, start, tmp_path_factory.mktemp("first"), 61)


def test_the_fields_of_a_run_close_the_budget_of_its_soil(
    small_world: SmallWorld, start: Path, first: SegmentFiles
) -> None:
    window = read_window(start, first.restart, first.cycles)
    parameters = read_parameters(small_world.directory / "clm_params.nc")
    budget = window.budget(np.arange(12), parameters)
    loss = budget.loss.sum(1)
    alive = loss > 1.0
    assert alive[4:].sum() > 20
    assert float((budget.inputs.abs().sum(1) / loss)[4:][alive[4:]].max()) < 1e-4
    assert float(budget.inputs[:4].min()) > -1e-4 * float(budget.inputs[:4].max())
    # Respiration of the soil is the field that every run has.
    thickness = np.diff(np.concatenate([[0.0], 0.5 * (ZSOI[:-1] + ZSOI[1:])]))[:, None]
    respired = (budget.respired.numpy() * thickness).sum((0, 1))
    with netCDF4.Dataset(first.cycles[0]) as nc:
        whole = np.asarray(nc["HR"][0]).reshape(-1)
    on_land = whole[whole < 1.0e30] * 365.0 * 86400.0
    assert np.sort(respired) == pytest.approx(np.sort(on_land), rel=1e-4)


def test_the_losses_of_nitrogen_are_what_its_inputs_and_its_change_leave(
    start: Path, first: SegmentFiles
) -> None:
    balance = read_window(start, first.restart, first.cycles).nitrogen
    assert balance is not None
    losses = 0.0
    with netCDF4.Dataset(first.cycles[0]) as nc:
        for name in ("DENIT", "SMIN_NO3_LEACHED"):
            values = np.asarray(nc[name][0], dtype=np.float64).reshape(-1)
            losses = losses + values[values < 1.0e30] * 365.0 * 86400.0
    expected = np.sort(np.asarray(losses))
    assert np.sort(balance.inputs - balance.change) == pytest.approx(expected, abs=1e-6)
    assert expected.max() > 0.5


def test_corrections_of_successive_windows_shrink_and_bring_the_soil_to_rest(
    small_world: SmallWorld, start: Path, first: SegmentFiles, tmp_path: Path
) -> None:
    sizes, restart, window, before = [], start, first, None
    for number in range(1, 4):
        output = tmp_path / f"correction.{number}.nc"
        sizes.append(correction(small_world, restart, window, output, before))
        before = output
        restart = converted(small_world, window.restart, tmp_path / f"in.{number}", output)
        window = window_of(small_world, restart, tmp_path / f"out.{number}", 61 + 20 * number)
    for name in ("soil4c_vr", "soil3c_vr", "cwdc_vr"):
        assert sizes[1][name] < 0.6 * sizes[0][name], name
        assert sizes[2][name] < 0.4 * sizes[0][name], name

    def drift(run: SegmentFiles) -> float:
        with netCDF4.Dataset(run.cycles[-1]) as nc:
            values = np.asarray(nc["NBP"][0]).reshape(-1)
        return float(np.abs(values[values < 1.0e30]).mean())

    assert drift(window) < 0.3 * drift(first)


def test_a_history_without_the_budget_names_the_fields_to_ask_for(
    small_world: SmallWorld, start: Path, tmp_path: Path
) -> None:
    plain = small_world.run(tmp_path / "plain", mode="normal", start_year=61, finidat=start)
    with pytest.raises(
        InputError, match=r"LITR1_HR_vr is missing.*run the window with hist_fincl: LITR1_HR_vr"
    ):
        correction(small_world, start, plain, tmp_path / "predictions.nc")
    with netCDF4.Dataset(plain.cycles[0]) as nc:
        assert set(BUDGET_FIELDS) - set(nc.variables) == set(SOIL_FLUXES)


def test_a_correction_says_where_it_comes_from(
    small_world: SmallWorld, start: Path, first: SegmentFiles, tmp_path: Path
) -> None:
    correction(small_world, start, first, tmp_path / "predictions.nc")
    with xr.open_dataset(tmp_path / "predictions.nc") as predictions:
        account = json.loads(predictions.attrs["correction"])
        assert (account["start_year"], account["end_year"], account["cells"]) == (61.0, 81.0, 12)
        assert predictions["soil4c_vr"].attrs["units"] == "gC/m^3"
        assert "levdecomp" in predictions["soil4c_vr"].coords
