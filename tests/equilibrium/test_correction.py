"""A correction by the rates of a run: on real ELM, and where the files are no window of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.config.correction import CorrectionSettings
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.parameters import read_parameters
from phase_lib.equilibrium.correction import correct, corrections_of
from phase_lib.equilibrium.window import Window, read_window
from phase_lib.injection.inject import inject

START, END, HISTORY = (
    "win.elm.r.0101-01-01-00000.nc",
    "win.elm.r.0121-01-01-00000.nc",
    "win.elm.h1.0121-01-01-00000.nc",
)
PARAMS = "clm_params_c211124.nc"
SOIL = {"cwdc_vr": "CWDC_vr", "soil3c_vr": "SOIL3C_vr", "soil4c_vr": "SOIL4C_vr"}
NODES = 0.025 * (np.exp(0.5 * (np.arange(1, 12) - 0.5)) - 1.0)


@pytest.fixture(scope="module")
def window(elm_window: Path) -> Window:
    return read_window(elm_window / START, elm_window / END, [elm_window / HISTORY])


@pytest.fixture(scope="module")
def corrected(elm_window: Path, elm_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("corrected") / "predictions.nc"
    run(elm_window, elm_sample, output)
    return output


def run(
    window: Path, sample: Path, output: Path, forcing_years: int = 20, accept: bool = False, **settings: float
) -> dict[str, object]:
    files = window / START, window / END, [window / "win.elm.h1.*.nc"], sample / PARAMS
    bounds = CorrectionSettings(**settings)
    return correct(*files, output, bounds, forcing_years, part_of_a_cycle=accept)


def restart_layers(path: Path, name: str) -> np.ndarray:
    """A layered variable of the soil column of each cell, in the order of the restart (cell, layer)."""
    with netCDF4.Dataset(path) as nc:
        soil = (nc["cols1d_ityplun"][:] == 1) & (nc["cols1d_ityp"][:] == 1)
        order = np.argsort(nc["cols1d_gridcell_index"][:][soil])
        return np.asarray(nc[name][:])[soil][order][:, :10]


def in_order_of(predictions: Path, restart: Path) -> np.ndarray:
    """Row of the predictions of each cell of a restart."""
    with netCDF4.Dataset(predictions) as a, netCDF4.Dataset(restart) as b:
        places = list(zip(np.round(a["lat"][:], 4), np.round(a["lon"][:] % 360.0, 4), strict=True))
        lat, lon = np.round(b["grid1d_lat"][:], 4), np.round(b["grid1d_lon"][:] % 360.0, 4)
        return np.array([places.index(place) for place in zip(lat, lon, strict=True)])


def test_the_carbon_of_som_is_in_balance_in_the_fields_of_real_elm(window: Window, elm_sample: Path) -> None:
    budget = window.budget(np.arange(24), read_parameters(elm_sample / PARAMS))
    entering, loss = budget.inputs[4:].abs().sum(1), budget.loss[4:].sum(1)
    alive = loss > 1.0
    # Four cells have lakes, cities or ice.
    assert np.count_nonzero(window.end.share < 0.95) == 4
    assert alive.sum() == 4 * 23
    # History fields have single precision.
    assert float((entering / loss)[alive].max()) < 1e-4


def test_the_mixing_operator_is_that_of_real_elm(window: Window, elm_sample: Path) -> None:
    budget = window.budget(np.arange(24), read_parameters(elm_sample / PARAMS))
    content, tendency = budget.state[6].numpy(), budget.mixed[6].numpy()
    down = budget.conductance.numpy() * np.diff(content, axis=0)
    thick = np.concatenate([[0.5 * (NODES[0] + NODES[1])], 0.5 * (NODES[2:] - NODES[:-2])])[:, None]
    none = np.zeros((1, 24))
    gain = np.diff(np.concatenate([none, down, none]), axis=0) / thick
    assert np.polyfit(tendency.ravel(), gain.ravel(), 1)[0] == pytest.approx(1.0, abs=1e-3)
    assert np.corrcoef(gain.ravel(), tendency.ravel())[0, 1] > 0.9999


def test_the_balance_of_nitrogen_of_real_elm_leaves_what_is_denitrified_and_leached_or_more(
    window: Window, elm_window: Path
) -> None:
    balance, end = window.nitrogen, window.end
    assert balance is not None
    with netCDF4.Dataset(elm_window / HISTORY) as nc:
        place = nc["lat"][:][:, None] - end.lat, nc["lon"][:][:, None] - end.lon
        row = np.argmin(np.hypot(*place), axis=0)
        known = sum(nc[name][0][row] for name in ("DENIT", "SMIN_NO3_LEACHED")) * 365.0 * 86400.0
    losses = balance.inputs - balance.change
    # Fire and runoff come on top; rain forests have neither.
    assert np.all(losses > known - 0.002)
    forest = (np.abs(end.lat) < 4.0) & (known > 1.5)
    assert forest.sum() == 3
    assert losses[forest] == pytest.approx(known[forest], rel=0.01)


def test_a_correction_of_real_elm_has_the_size_of_an_independent_solve(
    corrected: Path, elm_window: Path
) -> None:
    end, row = elm_window / END, in_order_of(corrected, elm_window / END)
    # Median |ln| over all layers with carbon, of a first solve outside this library.
    expected = {"cwdc_vr": 0.012, "soil3c_vr": 0.0096, "soil4c_vr": 0.0045}
    with xr.open_dataset(corrected) as predictions:
        for name, size in expected.items():
            last, new = restart_layers(end, name), predictions[name].to_numpy()[row]
            there = last > 1.0
            median = float(np.median(np.abs(np.log(new[there] / last[there]))))
            assert 0.4 * size < median < 1.5 * size, name
        dead, woody = predictions["deadstemc"].to_numpy(), slice(1, 12)
        assert np.all(dead[:, woody][np.isfinite(dead[:, woody])] >= 0.0)


def test_a_correction_of_real_elm_is_injected_and_the_audit_finds_nothing(
    corrected: Path, elm_window: Path, elm_sample: Path, tmp_path: Path
) -> None:
    output = tmp_path / END
    sidecar = inject(
        elm_window / END,
        elm_sample / "surfdata.biomes.1d.nc",
        elm_sample / PARAMS,
        elm_sample / "CNP_parameters_c180529.nc",
        corrected,
        output,
        InjectionSettings(),
        OodSettings(),
        audit=audit_restart,
    )
    assert sidecar["audit"]["errors"] == 0
    row = in_order_of(corrected, elm_window / END)
    with xr.open_dataset(corrected) as predictions:
        for name in SOIL:
            new = predictions[name].to_numpy()[row]
            there = np.isfinite(new)
            assert restart_layers(output, name)[there] == pytest.approx(new[there], rel=1e-12)
    for pool, ratio in (("soil3", 10.0), ("soil4", 10.0)):
        carbon, nitrogen = (restart_layers(output, f"{pool}{element}_vr") for element in "cn")
        changed = carbon != restart_layers(elm_window / END, f"{pool}c_vr")
        assert changed.sum() > 50
        assert carbon[changed] == pytest.approx(ratio * nitrogen[changed], rel=1e-9)


def test_frozen_layers_stay_and_every_decision_is_counted(
    corrected: Path, elm_window: Path, window: Window
) -> None:
    with xr.open_dataset(corrected) as predictions:
        account = json.loads(predictions.attrs["correction"])
        assert {Path(entry["path"]).name for entry in json.loads(predictions.attrs["inputs"])} == {
            START, END, HISTORY, PARAMS,
        }  # fmt: skip
        soil4 = account["variables"]["soil4c_vr"]
        decided = sum(value for key, value in soil4.items() if key != "median_size")
        row = in_order_of(corrected, elm_window / END)
        last, new = restart_layers(elm_window / END, "soil4c_vr"), predictions["soil4c_vr"].to_numpy()[row]
        inside = np.isfinite(new) & (last > 0.0)
        assert decided == inside.sum()
        assert soil4["turnover_too_slow"] == (new == last)[inside].sum() > 0


def test_damping_takes_a_share_of_the_way(elm_window: Path, elm_sample: Path, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.nc", tmp_path / "half.nc"
    run(elm_window, elm_sample, whole)
    run(elm_window, elm_sample, half, damping=0.5)
    with xr.open_dataset(whole) as a, xr.open_dataset(half) as b:
        first, second = (x["deadstemc"].to_numpy() for x in (a, b))
    last = read_window(elm_window / START, elm_window / END, [elm_window / HISTORY]).end.wood["deadstemc"]
    there = np.isfinite(first) & (last > 0.0)
    assert there.sum() > 20
    assert second[there] == pytest.approx(np.sqrt(first[there] * last[there]), rel=1e-9)


def test_corrections_stay_within_their_bounds(elm_window: Path, elm_sample: Path, tmp_path: Path) -> None:
    output = tmp_path / "bounded.nc"
    account = run(elm_window, elm_sample, output, least_ratio=0.99, most_ratio=1.01)
    row = in_order_of(output, elm_window / END)
    last = restart_layers(elm_window / END, "soil4c_vr")
    with xr.open_dataset(output) as predictions:
        new = predictions["soil4c_vr"].to_numpy()[row]
    there = np.isfinite(new) & (last > 0.0)
    ratio = new[there] / last[there]
    assert ratio.min() >= 0.99 - 1e-12
    assert ratio.max() <= 1.01 + 1e-12
    variables = account["variables"]
    assert isinstance(variables, dict)
    assert variables["soil4c_vr"]["bounded"] == (np.abs(ratio - 1.0) > 0.0099).sum() > 0


def test_a_window_that_does_not_change_and_is_steady_is_not_corrected(
    window: Window, elm_sample: Path
) -> None:
    parameters, settings = read_parameters(elm_sample / PARAMS), CorrectionSettings()
    cells = np.ones(24, dtype=bool)
    still = replace(window, start=replace(window.end, year=window.start.year))
    budget = still.budget(np.arange(24), parameters)
    # Without a change over the window, whatever else the fields say is what enters.
    assert float(budget.change.abs().max()) == 0.0
    slow, factor = np.zeros(still.end.soil.shape, dtype=bool), np.ones(24)
    for name, move in corrections_of(still, parameters, settings, cells, slow, factor).items():
        assert move.median is None or move.median < 1e-3, name


# --- the window before ----------------------------------------------------------------------------


def as_before(predictions: Path, output: Path, **account: object) -> Path:
    """A correction, as if of the window before."""
    with xr.open_dataset(predictions, decode_times=False, mask_and_scale=False) as dataset:
        content = dataset.load()
    content.attrs["correction"] = json.dumps(json.loads(content.attrs["correction"]) | account)
    content.to_netcdf(output)
    return output


def with_before(window: Path, sample: Path, before: Path, output: Path) -> dict[str, object]:
    files = window / START, window / END, [window / HISTORY], sample / PARAMS
    return correct(*files, output, CorrectionSettings(), 20, before=before)


def test_a_window_that_shows_no_response_is_corrected_without_nitrogen(
    corrected: Path, elm_window: Path, elm_sample: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = as_before(corrected, tmp_path / "before.nc", end_year=101.0)
    account = with_before(elm_window, elm_sample, before, tmp_path / "predictions.nc")
    assert account["nitrogen"] == {"response": None, "least_response": 0.0}
    with xr.open_dataset(corrected) as a, xr.open_dataset(tmp_path / "predictions.nc") as b:
        for name in (*SOIL, "deadstemc"):
            assert np.array_equal(a[name], b[name], equal_nan=True)
    # What earlier windows have shown is not forgotten.
    for kept in ({"response": 6.0}, {"response": None, "least_response": 6.0}):
        before = as_before(corrected, tmp_path / "kept.nc", end_year=101.0, nitrogen=kept)
        account = with_before(elm_window, elm_sample, before, tmp_path / "again.nc")
        assert account["nitrogen"] == {"response": None, "least_response": 6.0}


@pytest.mark.parametrize(
    ("lacks", "account", "message"),
    [
        ((), {}, r"its window ends at 121.0; expected the start of this one, 101"),
        (("nitrogen_stock",), {"end_year": 101.0}, r"nitrogen_stock is missing.*the balance of nitrogen"),
    ],
)
def test_what_is_no_correction_of_the_window_before_is_refused(
    corrected: Path,
    elm_window: Path,
    elm_sample: Path,
    tmp_path: Path,
    lacks: tuple[str, ...],
    account: dict[str, float],
    message: str,
) -> None:
    before = as_before(corrected, tmp_path / "before.nc", **account)
    with netCDF4.Dataset(before, "r+") as nc:
        for name in lacks:
            nc.renameVariable(name, "other")
    with pytest.raises(InputError, match=message):
        with_before(elm_window, elm_sample, before, tmp_path / "predictions.nc")
    assert not (tmp_path / "predictions.nc").exists()


@pytest.mark.parametrize("text", ["{}", "none", "[1]"])
def test_a_predictions_file_of_another_kind_is_no_window_before(
    corrected: Path, elm_window: Path, elm_sample: Path, tmp_path: Path, text: str
) -> None:
    before = as_before(corrected, tmp_path / "before.nc")
    with netCDF4.Dataset(before, "r+") as nc:
        nc.correction = text
    with pytest.raises(InputError, match=r"before\.nc: global attribute correction is no account"):
        with_before(elm_window, elm_sample, before, tmp_path / "predictions.nc")


@pytest.mark.parametrize(
    ("damage", "missed"),
    [
        (lambda nc: nc.renameVariable("NFIX_TO_SMINN", "OTHER"), "the history has no NFIX_TO_SMINN"),
        (
            lambda nc: nc["NDEP_TO_SMINN"].__setitem__(..., 1.0e36),
            "NDEP_TO_SMINN of the history is fill on all soil",
        ),
    ],
    ids=["absent", "fill"],
)
def test_without_inputs_of_nitrogen_carbon_is_corrected_all_the_same_and_log_and_account_say_so(
    corrected: Path,
    elm_window: Path,
    elm_sample: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[netCDF4.Dataset], None],
    missed: str,
) -> None:
    directory = copy_of(elm_window, tmp_path)
    edited(HISTORY, damage)(directory)
    output, seen = tmp_path / "predictions.nc", {"response": 6.0}
    before = as_before(corrected, tmp_path / "before.nc", end_year=101.0, nitrogen=seen)
    account = with_before(directory, elm_sample, before, output)
    assert account["nitrogen"] == {"missed": missed, "least_response": 6.0}
    assert f"its balance stays as it is: {missed}" in caplog.text
    with xr.open_dataset(output) as a, xr.open_dataset(corrected) as b:
        assert "nitrogen_stock" not in a
        for name in (*SOIL, "deadstemc"):
            assert np.array_equal(a[name], b[name], equal_nan=True)
    # The next window has nothing to compare its balance with, and does not forget the response.
    before = as_before(output, tmp_path / "next.nc", end_year=101.0)
    account = with_before(elm_window, elm_sample, before, tmp_path / "again.nc")
    reason = "the history of the window before had no inputs of nitrogen"
    assert account["nitrogen"] == {"missed": reason, "least_response": 6.0}


# --- what is no window ----------------------------------------------------------------------------


def copy_of(directory: Path, tmp_path: Path) -> Path:
    target = tmp_path / "window"
    shutil.copytree(directory, target)
    for file in target.iterdir():
        file.chmod(0o644)
    return target


def edited(name: str, edit: Callable[[netCDF4.Dataset], None]) -> Callable[[Path], None]:
    def apply(directory: Path) -> None:
        with netCDF4.Dataset(directory / name, "r+") as nc:
            edit(nc)

    return apply


def set_scalar(name: str, value: float) -> Callable[[netCDF4.Dataset], None]:
    def edit(nc: netCDF4.Dataset) -> None:
        nc[name][...] = value

    return edit


def rename(name: str) -> Callable[[netCDF4.Dataset], None]:
    return lambda nc: nc.renameVariable(name, "OTHER")


def spoil(name: str, value: float) -> Callable[[netCDF4.Dataset], None]:
    def edit(nc: netCDF4.Dataset) -> None:
        nc[name][0, 2, 5] = value

    return edit


def scale(name: str, factor: float) -> Callable[[netCDF4.Dataset], None]:
    def edit(nc: netCDF4.Dataset) -> None:
        nc[name][...] = nc[name][...] * factor

    return edit


def shorten(nc: netCDF4.Dataset) -> None:
    for name in ("time", "time_bounds"):
        nc[name][...] = 0.5 * nc[name][...]


def delay(nc: netCDF4.Dataset) -> None:
    for name in ("time", "time_bounds"):
        nc[name][...] = nc[name][...] + 5.0 * 365.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edited(END, set_scalar("spinup_state", 1)), r"spinup_state is 1; expected 0 \(normal mode\)"),
        (edited(HISTORY, rename("SOIL3_HR_vr")), r"SOIL3_HR_vr is missing.*hist_fincl: SOIL3_HR_vr"),
        (edited(HISTORY, spoil("SOIL3_HR_vr", np.nan)), r"SOIL3_HR_vr is fill or NaN at lat .* layer 3"),
        (edited(HISTORY, set_scalar("SOIL3_HR_vr", np.nan)), r"SOIL3_HR_vr is fill or NaN at lat .* layer 1"),
        (edited(HISTORY, spoil("SOIL3_HR_vr", -1.0)), r"SOIL3_HR_vr is negative at lat .* layer 3"),
        (edited(HISTORY, set_scalar("SOIL4_HR_vr", 1.0e-9)), r"SOIL4_HR_vr is 1e-09 everywhere"),
        (
            edited(HISTORY, lambda nc: nc["NDEP_TO_SMINN"].__setitem__((0, 5), np.nan)),
            r"NDEP_TO_SMINN is fill, NaN or negative at lat",
        ),
        (
            edited(HISTORY, lambda nc: nc["NFIX_TO_SMINN"].setncattr("units", "kgN/ha")),
            r"NFIX_TO_SMINN.*kgN/ha.*gN/m\^2/s",
        ),
        (edited(HISTORY, delay), r"the mean over years 106.00 to 126.00 does not end at 121.00"),
        (edited(END, set_scalar("altmax", 1.0e36)), r"altmax or altmax_lastyear is fill or NaN on the soil"),
        (edited(HISTORY, shorten), r"the history covers 10.00 years of 0101 to 0120"),
        (
            edited(HISTORY, scale("SOIL4C_vr", 2.0)),
            r"are those of the restarts in 0 of 24 cells",
        ),
        (edited(START, set_scalar("timemgr_rst_curr_ymd", 1310101)), r"give the restarts in the order"),
    ],
)
def test_files_that_are_no_window_of_a_run_end_in_one_line(
    elm_window: Path,
    elm_sample: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    directory = copy_of(elm_window, tmp_path)
    damage(directory)
    with pytest.raises(InputError, match=message):
        run(directory, elm_sample, tmp_path / "predictions.nc")
    assert not (tmp_path / "predictions.nc").exists()


def test_a_window_of_a_part_of_the_forcing_cycle_is_refused_unless_asked_for(
    elm_window: Path, elm_sample: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"the window has 20 years; expected whole forcing cycles of 30 years"
    ):
        run(elm_window, elm_sample, tmp_path / "predictions.nc", forcing_years=30)
    run(elm_window, elm_sample, tmp_path / "predictions.nc", forcing_years=30, accept=True)
    assert (tmp_path / "predictions.nc").exists()


def test_a_window_that_ends_in_another_season_is_refused(
    elm_window: Path, elm_sample: Path, tmp_path: Path
) -> None:
    directory = copy_of(elm_window, tmp_path)
    edited(START, set_scalar("timemgr_rst_curr_ymd", 1010701))(directory)
    with pytest.raises(InputError, match=r"the window has 19\.5\d* years; expected whole years; give other"):
        run(directory, elm_sample, tmp_path / "predictions.nc", accept=True)


def test_a_pattern_that_no_history_has_is_refused(elm_window: Path, elm_sample: Path, tmp_path: Path) -> None:
    directory = copy_of(elm_window, tmp_path)
    (directory / HISTORY).unlink()
    with pytest.raises(InputError, match=r"win\.elm\.h1\.\*\.nc"):
        run(directory, elm_sample, tmp_path / "predictions.nc")


def test_wood_without_mortality_ends_nowhere(window: Window, elm_sample: Path) -> None:
    parameters = read_parameters(elm_sample / PARAMS)
    immortal = replace(parameters, scalar=parameters.scalar | {"r_mort": 0.0})
    with pytest.raises(InputError, match=r"parameter r_mort is 0; expected the mortality of wood"):
        corrections_of(
            window,
            immortal,
            CorrectionSettings(),
            np.ones(24, dtype=bool),
            np.zeros(window.end.soil.shape, dtype=bool),
            np.ones(24),
        )
