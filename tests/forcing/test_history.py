"""The forcing in the model's own history to monthly means."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.elm.domain import read_domain
from phase_lib.forcing.layouts.history import History
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.forcing.variables import FORCING
from tests.helpers.forcing import DAYS, land, write_model_history

LAT, LON = np.array([10.0, 20.0, 30.0]), np.array([5.0, 6.0, 7.0])
UNITS = {
    "TBOT": "K",
    "FSDS": "W/m^2",
    "FLDS": "W/m^2",
    "QBOT": "kg/kg",
    "PBOT": "Pa",
    "RAIN": "mm/s",
    "SNOW": "mm/s",
}
SPANS = {
    "TBOT": (250.0, 300.0),
    "FSDS": (50.0, 300.0),
    "FLDS": (200.0, 400.0),
    "QBOT": (0.001, 0.02),
    "PBOT": (8e4, 1e5),
    "RAIN": (0.0, 1e-4),
    "SNOW": (0.0, 1e-5),
}
EDGES = np.concatenate([[0], np.cumsum(np.tile(DAYS, 2))]).astype(np.float64)


def fields(samples: int, seed: int = 0) -> dict[str, tuple[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {
        name: (UNITS[name], rng.uniform(low, high, (samples, 3)).astype(np.float32))
        for name, (low, high) in SPANS.items()
    }


def cut(contents: dict[str, tuple[str, np.ndarray]], rows: slice) -> dict[str, tuple[str, np.ndarray]]:
    return {name: (units, values[rows]) for name, (units, values) in contents.items()}


def reduced(files: list[Path], output: Path, **choices: int) -> dict[str, np.ndarray]:
    options = {"first_year": 1, "years": 2} | choices
    domain = land([30.0, 10.0], [-353.0, 5.0])
    reduce_forcing(files, domain, output, kind="history", limit_km=1.0, **options)
    with netCDF4.Dataset(output) as nc:
        nc.set_auto_mask(False)
        return {name: np.asarray(nc[name][:], dtype=np.float64) for name in FORCING}


def test_monthly_means_are_taken_over_with_rain_and_snow_added(tmp_path: Path) -> None:
    contents = fields(24)
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)
    bounds[0, 0] -= 1.0 / 24.0  # ELM counts its step 0
    # ELM's first file of a tape can hold another number of samples than the others.
    files = [
        write_model_history(tmp_path / "b.nc", cut(contents, slice(7, 24)), bounds[7:], LAT, LON),
        write_model_history(tmp_path / "a.nc", cut(contents, slice(0, 7)), bounds[:7], LAT, LON),
    ]
    result = reduced(files, tmp_path / "out.nc")
    cells = [2, 0]
    for name, source in (("TBOT", "TBOT"), ("PSRF", "PBOT"), ("QBOT", "QBOT"), ("FSDS", "FSDS")):
        assert np.allclose(result[name], contents[source][1][:, cells].T, rtol=3e-7), name
    rain, snow = (contents[name][1][:, cells].T.astype(np.float64) for name in ("RAIN", "SNOW"))
    assert np.allclose(result["PRECTmms"], rain + snow, rtol=3e-7)
    with netCDF4.Dataset(tmp_path / "out.nc") as nc:
        assert (nc["PRECTmms"].made_of, nc["PSRF"].made_of) == ("RAIN + SNOW", "PBOT")
    second = reduced(files, tmp_path / "second.nc", first_year=2, years=1)
    assert np.array_equal(second["TBOT"], result["TBOT"][:, 12:])


def test_shorter_means_are_averaged_by_their_days_across_files(tmp_path: Path) -> None:
    # Samples of one day, but those of the first half of each month of two; 50 samples a file.
    lengths = np.concatenate([[2.0] * (days // 4) + [1.0] * (days - 2 * (days // 4)) for days in DAYS * 2])
    ends = np.cumsum(lengths)
    bounds = np.stack([ends - lengths, ends], axis=1)
    contents = fields(len(lengths), seed=4)
    files = [
        write_model_history(
            tmp_path / f"{first}.nc",
            cut(contents, slice(first, first + 50)),
            bounds[first : first + 50],
            LAT,
            LON,
        )
        for first in range(0, len(lengths), 50)
    ]
    result = reduced(files, tmp_path / "out.nc")["TBOT"]
    values = contents["TBOT"][1].astype(np.float64)
    for month in (0, 1, 13, 23):
        inside = (bounds[:, 0] >= EDGES[month]) & (bounds[:, 1] <= EDGES[month + 1])
        expected = np.average(values[inside], axis=0, weights=lengths[inside])
        assert np.allclose(result[:, month], expected[[2, 0]], rtol=3e-7)


def test_means_over_more_than_a_month_are_refused(tmp_path: Path) -> None:
    bounds = np.array([[0.0, 365.0], [365.0, 730.0]])
    file = write_model_history(tmp_path / "a.nc", fields(2), bounds, LAT, LON)
    with pytest.raises(InputError, match=r"365\.0 days that do not lie in one month.*give the monthly tape"):
        reduced([file], tmp_path / "out.nc")


def test_a_month_that_is_not_covered_is_named(tmp_path: Path) -> None:
    kept = np.delete(np.arange(24), 14)
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)[kept]
    file = write_model_history(tmp_path / "a.nc", cut(fields(24), kept), bounds, LAT, LON)
    with pytest.raises(
        InputError, match=r"covers 0\.0 days of 0002-03; expected every month of 0001 to 0002"
    ):
        reduced([file], tmp_path / "out.nc")


def test_a_history_without_a_forcing_field_is_refused(tmp_path: Path) -> None:
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)
    contents = {name: value for name, value in fields(24).items() if name not in ("QBOT", "SNOW")}
    # Means of humidity and temperature do not make a mean of specific humidity.
    contents["RH"] = ("%", np.full((24, 3), 60.0, dtype=np.float32))
    file = write_model_history(tmp_path / "a.nc", contents, bounds, LAT, LON)
    with pytest.raises(InputError, match="QBOT is in none of the files; expected QBOT;"):
        reduced([file], tmp_path / "out.nc")


def test_the_history_of_the_sample_holds_what_the_model_averaged(elm_sample: Path, tmp_path: Path) -> None:
    files = sorted((elm_sample / "history").glob("ad20.elm.h0.*.nc"))
    domain = read_domain(elm_sample / "domain.lnd.biomes.1d.nc")
    options = {"kind": "history", "first_year": 6, "years": 2, "limit_km": 1.0}
    reduce_forcing(files, domain, tmp_path / "out.nc", **options)
    with netCDF4.Dataset(files[6]) as nc, netCDF4.Dataset(tmp_path / "out.nc") as result:
        assert np.allclose(nc["lat"][:], result["lat"][:], atol=1e-4)
        assert np.allclose(result["TBOT"][:, 12:].T, nc["TBOT"][:], rtol=3e-7)
        assert np.allclose(result["PRECTmms"][:, 12:].T, nc["RAIN"][:] + nc["SNOW"][:], rtol=1e-6)
        assert result["TBOT"].step_hours in (730.0, 744.0)


@pytest.mark.parametrize("text", ["time: instantaneous", "time: maximum"])
def test_a_tape_that_holds_no_means_is_refused_before_values_are_read(tmp_path: Path, text: str) -> None:
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)
    path = write_model_history(tmp_path / "h1.nc", fields(24), bounds, LAT, LON)
    with netCDF4.Dataset(path, "r+") as nc:
        nc["FSDS"].cell_methods = text
    with pytest.raises(InputError, match=r"h1\.nc: variable FSDS holds (snapshots|maxima)"):
        History([path], ("FSDS",), range(12, 36))
    History([path], ("TBOT",), range(12, 36))


def test_a_field_without_units_is_refused(tmp_path: Path) -> None:
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)
    path = write_model_history(tmp_path / "h0.nc", fields(24), bounds, LAT, LON)
    with netCDF4.Dataset(path, "r+") as nc:
        nc["RAIN"].delncattr("units")
    with pytest.raises(InputError, match="variable RAIN has no attribute units; expected 'mm/s'"):
        reduced([path], tmp_path / "out.nc")


def test_a_site_without_horizontal_dimensions_gives_its_forcing(tmp_path: Path) -> None:
    bounds = np.stack([EDGES[:-1], EDGES[1:]], axis=1)
    contents = fields(24)
    whole = write_model_history(tmp_path / "h0.nc", contents, bounds, LAT, LON)
    site = tmp_path / "site.nc"
    with netCDF4.Dataset(whole) as old, netCDF4.Dataset(site, "w") as new:
        old.set_auto_maskandscale(False)
        new.createDimension("time", 24)
        new.createDimension("hist_interval", 2)
        for name, variable in old.variables.items():
            at = variable.dimensions[-1:] == ("lndgrid",)
            copy = new.createVariable(
                name, variable.dtype, variable.dimensions[:-1] if at else variable.dimensions
            )
            copy.setncatts({key: value for key, value in variable.__dict__.items() if key != "_FillValue"})
            copy[...] = variable[..., 2] if at else variable[:]
    options = {"kind": "history", "limit_km": 1.0, "first_year": 1, "years": 2}
    reduce_forcing([site], land([30.0], [7.0]), tmp_path / "out.nc", **options)
    with netCDF4.Dataset(tmp_path / "out.nc") as nc:
        np.testing.assert_array_equal(nc["TBOT"][:], contents["TBOT"][1][None, :, 2])
