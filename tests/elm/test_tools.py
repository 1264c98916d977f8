"""The tools that stand alone: on any ELM file, from an empty directory, without a configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.cli import main
from tests.helpers.layouts import RESTART, contents
from tests.helpers.restarts import copy_of, edit, make_world, raw

SAMPLE = {
    "restart": RESTART,
    "monthly history": "history/ad20.elm.h0.0020-02-01-00000.nc",
    "twenty-year history": "history/ad20.elm.h1.0021-01-01-00000.nc",
    "surface": "surfdata.biomes.1d.nc",
    "domain": "domain.lnd.biomes.1d.nc",
    "parameters": "clm_params_c211124.nc",
    "soil parameters": "CNP_parameters_c180529.nc",
    "forcing": "forcing/clmforc.Daymet.km.1d.TPQWL.1980-01.nc",
    "forcing domain": "forcing/domain.lnd.Daymet.km.1d.nc",
}
WORLD = '{"cells":12,"forcing_resolution_deg":15.0}'
YEAR_21 = "0021-01-01-00000.nc"


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line of a refusal."""
        assert self.code == 2
        assert "Traceback" not in self.err
        (line,) = (line for line in self.err.splitlines() if line.startswith("phase: "))
        return line


@pytest.fixture
def phase(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs a command in an empty directory."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)

    def run(*words: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        said = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Said(caught.value.code, said.out, said.err)

    return run


def command(*words: object, cwd: Path) -> Said:
    """Runs a command in a process of its own, the library found by its path alone."""
    code = "from phase_lib.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the embedded model: a world, 20 AD years and 40 normal ones after a proper exit."""
    root = tmp_path_factory.mktemp("embedded")
    files = "--surface w/surfdata.nc --params w/clm_params.nc --soil-params w/CNP_parameters.nc"
    forced = f"{files} --domain w/domain.lnd.nc --forcing w/monthly.nc"
    steps = (
        f"world --settings {WORLD} --output-dir w",
        "forcing --kind datm --files w/forcing/*.nc --domain w/domain.lnd.nc --first-year 1901 --years 20 "
        "--align-year 1 --product embedded --limit-km 1500 --output w/monthly.nc",
        f"run-segment --case a --mode ad --start-year 1 --years 20 {forced} --output-dir ad",
        f"inject --restart ad/a.elm.r.{YEAR_21} {files} --output control/a.elm.r.{YEAR_21}",
        f"run-segment --case n --mode normal --start-year 21 --years 40 {forced} "
        f"--finidat control/a.elm.r.{YEAR_21} --output-dir normal",
    )
    for step in steps:
        said = command(*step.split(), cwd=root)
        assert said.code == 0, said.err
    return root


# -- inspect ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "restart",
            (
                "restart, CDF-5",
                "date 0021-01-01, accelerated decomposition (spinup_state 1), CTC cascade",
                "land cells: 24",
                "land ice in 1 cell, 2.29 %",
                "soil4c 202.3",
                "in AD space",
                "unfinished, the mean is over years 20 to 39",
            ),
        ),
        (
            "monthly history",
            (
                "history, CDF-5",
                "samples: 12",
                "period: 0020-01-01 to 0021-01-01",
                "28 to 31",
                "land cells: 24",
            ),
        ),
        ("twenty-year history", ("samples: 1", "period: 0001-01-01 to 0021-01-01", "days in a sample: 7300")),
        ("surface", ("surface data, CDF-2", "land cells: 24", "maps of mineral P: yes", "c4_grass 9.2")),
        ("domain", ("domain, CDF-2", "land cells: 24", "latitude, degrees: -42.02 to 68.98")),
        ("parameters", ("PFT and decomposition parameters, CDF-1", "PFTs: 25", "k_s4 0.000100005")),
        ("soil parameters", ("soil order parameters", "soil orders: 16", "smax, gP m-3: 50 to")),
        (
            "forcing",
            (
                "atmospheric forcing, CDF-2",
                "points: 24",
                "hours between samples: 3",
                "period: 1980-01-01 to 1980-01-31",
                "TBOT 239.84 to 298.757",
                " K;",
            ),
        ),
        ("forcing domain", ("domain", "points: 24")),
    ],
)
def test_inspect_says_what_a_real_file_is(phase, elm_sample: Path, name: str, words: tuple[str, ...]) -> None:
    said = phase("inspect", elm_sample / SAMPLE[name])
    assert (said.code, said.err) == (0, "")
    for word in words:
        assert word in said.out
    content = json.loads(phase("inspect", elm_sample / SAMPLE[name], "--json").out)
    assert content["path"] == str(elm_sample / SAMPLE[name])


def test_the_stocks_that_inspect_tells_are_the_means_per_area_of_land(phase, elm_sample: Path) -> None:
    content = json.loads(phase("inspect", elm_sample / RESTART, "--json").out)
    before = contents(elm_sample / RESTART)
    for name in ("deadstemc", "leafc_storage"):
        total = 0.0
        for p, share in enumerate(before["pfts1d_wtxy"]):
            total += share * before[name][p] if share > 0.0 else 0.0
        assert content["mean_stocks"][name]["value"] == pytest.approx(total / 24.0, rel=1e-12)
    assert content["landunits_with_weight"]["deep lake"] == pytest.approx(
        {"cells": 2, "percent_of_land": 100.0 * 0.35 / 24.0}
    )


def test_inspect_knows_the_files_of_the_embedded_model(phase, embedded: Path) -> None:
    kinds = {
        "w/domain.lnd.nc": "domain",
        "w/surfdata.nc": "surface",
        "w/clm_params.nc": "parameters",
        "w/CNP_parameters.nc": "soil_parameters",
        "w/monthly.nc": "monthly_forcing",
        f"ad/a.elm.r.{YEAR_21}": "restart",
        f"control/a.elm.r.{YEAR_21}": "restart",
        f"ad/a.elm.h0.{YEAR_21}": "history",
        "normal/n.elm.h1.0022-01-01-00000.nc": "history",
    }
    results = {name: json.loads(phase("inspect", embedded / name, "--json").out) for name in kinds}
    assert {name: content["kind"] for name, content in results.items()} == kinds
    assert results["w/surfdata.nc"]["cells"] == results["w/domain.lnd.nc"]["cells"] == 12
    assert results[f"ad/a.elm.r.{YEAR_21}"]["spinup_state"] == 1
    assert results[f"control/a.elm.r.{YEAR_21}"]["spinup_state"] == 0
    assert results["normal/n.elm.h1.0022-01-01-00000.nc"]["period"] == ["0021-01-01", "0041-01-01"]
    forcing = next((embedded / "w" / "forcing").glob("*.1901-07.nc"))
    said = phase("inspect", forcing)
    assert "period: 1901-07-01 to 1901-07-31" in said.out


def test_inspect_tells_vectors_from_grids(phase, tmp_path: Path) -> None:
    """A tape with hist_dov2xy = .false. holds patches and columns."""
    with netCDF4.Dataset(tmp_path / "h2.nc", "w", format="NETCDF3_64BIT_DATA") as d:
        for name, size in (("time", None), ("hist_interval", 2), ("pft", 34), ("column", 4), ("levgrnd", 15)):
            d.createDimension(name, size)
        time = d.createVariable("time", "f4", ("time",))
        time.units, time.calendar = "days since 0001-01-01 00:00:00", "noleap"
        time[:] = [365.0, 730.0]
        d.createVariable("mcdate", "i4", ("time",))[:] = [20101, 30101]
        d.createVariable("time_bounds", "f8", ("time", "hist_interval"))[:] = [[0.0, 365.0], [365.0, 730.0]]
        d.createVariable("TLAI", "f4", ("time", "pft"))[:] = 1.0
        d.createVariable("SOIL3C_vr", "f4", ("time", "levgrnd", "column"))[:] = 1.0
    said = phase("inspect", tmp_path / "h2.nc")
    assert "history, CDF-5" in said.out
    assert "period: 0001-01-01 to 0003-01-01" in said.out
    assert "fields on: pft 1, levgrnd x column 1" in said.out


@pytest.mark.parametrize("names", [("lat", "lon"), ("latitude", "longitude"), ("LATIXY", "LONGXY")])
def test_inspect_knows_forcing_of_one_variable_a_file(phase, tmp_path: Path, names: tuple[str, str]) -> None:
    """As ERA5 comes: under names of its own."""
    with netCDF4.Dataset(tmp_path / "era5.nc", "w") as d:
        for name, size in (("time", None), ("y", 2), ("x", 3)):
            d.createDimension(name, size)
        time = d.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1980-01-01 00:00:00", "noleap"
        time[:] = np.arange(0.0, 31.0, 0.25)
        d.createVariable(names[0], "f8", ("y",))[:] = [40.0, 41.0]
        d.createVariable(names[1], "f8", ("x",))[:] = [10.0, 11.0, 12.0]
        rate = d.createVariable("mcpr", "f4", ("time", "y", "x"))
        rate.units = "kg m**-2 s**-1"
        rate[:] = 2.0e-5
    content = json.loads(phase("inspect", tmp_path / "era5.nc", "--json").out)
    assert (content["kind"], content["fields"]) == ("forcing", ["mcpr"])
    assert (content["step_hours"], content["points"]) == (6.0, 6)
    assert (content["latitude"]["min"], content["longitude"]["max"]) == (40.0, 12.0)


@pytest.mark.parametrize(
    ("flavour", "words"),
    [
        ("NETCDF3_CLASSIC", "CDF-1 (classic)"),
        ("NETCDF3_64BIT_OFFSET", "CDF-2 (64-bit offset)"),
        ("NETCDF3_64BIT_DATA", "CDF-5 (64-bit data)"),
        ("NETCDF4", "netCDF-4 (HDF5)"),
    ],
)
def test_inspect_tells_the_flavour(phase, tmp_path: Path, flavour: str, words: str) -> None:
    with netCDF4.Dataset(tmp_path / "any.nc", "w", format=flavour) as d:
        d.createDimension("x", 2)
        d.createVariable("y", "f8", ("x",))[:] = 1.0
    said = phase("inspect", tmp_path / "any.nc")
    assert (said.code, f"no file known here, {words}" in said.out) == (0, True)


# -- audit --------------------------------------------------------------------------------------------------


def test_audit_of_a_sound_restart_exits_0_and_of_a_damaged_one_3(
    phase, elm_sample: Path, tmp_path: Path
) -> None:
    said = phase("audit", elm_sample / RESTART)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1].endswith("0021-01-01, accelerated decomposition: 0 errors, 2 notes")
    damaged = copy_of(elm_sample / RESTART, tmp_path)
    edit(damaged, "soil3c_vr", (0, 2), np.nan)
    said = phase("audit", damaged, "--json")
    assert said.code == 3
    content = json.loads(said.out)
    assert content["findings"][0] | {"further": 0} == content["findings"][0]
    assert (content["findings"][0]["variable"], content["findings"][0]["cell"]) == ("soil3c_vr", 1)
    assert "1 error" in said.err


def test_audit_takes_the_files_of_the_run_and_writes_json(phase, elm_sample: Path) -> None:
    files = ("--surface", elm_sample / SAMPLE["surface"], "--params", elm_sample / SAMPLE["parameters"])
    said = phase("audit", elm_sample / RESTART, *files, "--output", "audit.json")
    assert said.code == 0
    assert json.loads(Path("audit.json").read_text())["errors"] == 0


@pytest.mark.parametrize("name", ["ad/a.elm.r", "control/a.elm.r"])
def test_restarts_of_the_embedded_model_pass_the_audit(phase, embedded: Path, name: str) -> None:
    files = ("--surface", embedded / "w/surfdata.nc", "--params", embedded / "w/clm_params.nc")
    assert phase("audit", embedded / f"{name}.{YEAR_21}", *files).code == 0


@pytest.mark.parametrize("name", [name for name in SAMPLE if name != "restart"])
def test_audit_of_another_kind_of_file_says_that_it_is_no_restart(phase, elm_sample: Path, name: str) -> None:
    refusal = phase("audit", elm_sample / SAMPLE[name]).refusal
    assert str(elm_sample / SAMPLE[name]) in refusal
    assert "is no restart" in refusal


# -- compare-restarts ---------------------------------------------------------------------------------------


def test_compare_tells_cell_and_units_of_a_difference(phase, elm_sample: Path, tmp_path: Path) -> None:
    other = copy_of(elm_sample / RESTART, tmp_path)
    edit(other, "deadstemc", 4, 7.0)
    row = int(np.flatnonzero(raw(other, "cols1d_ityplun") == 1)[2])
    edit(other, "soil4c_vr", (row, 6), 9.0)
    said = phase("compare-restarts", elm_sample / RESTART, other)
    assert said.code == 0
    wood = next(line for line in said.out.splitlines() if line.startswith("deadstemc"))
    assert "cell 1 (-3.020, -60.020) pft 4" in wood
    assert wood.endswith("and 7 gC/m^2")
    soil = next(line for line in said.out.splitlines() if line.startswith("soil4c_vr"))
    assert "cell 3 " in soil
    assert "layer 7: " in soil
    content = json.loads(phase("compare-restarts", elm_sample / RESTART, other, "--json").out)
    assert [item["name"] for item in content["variables"]] == ["soil4c_vr", "deadstemc"]


@pytest.mark.parametrize("name", SAMPLE)
def test_any_file_equals_itself(phase, elm_sample: Path, name: str) -> None:
    said = phase("compare-restarts", elm_sample / SAMPLE[name], elm_sample / SAMPLE[name])
    assert (said.code, said.out.strip().endswith("equal")) == (0, True)


def test_files_of_different_kinds_are_compared_without_a_traceback(phase, elm_sample: Path) -> None:
    said = phase("compare-restarts", elm_sample / SAMPLE["surface"], elm_sample / SAMPLE["forcing"])
    assert said.code == 0
    assert "only in" in said.out


# -- inject -------------------------------------------------------------------------------------------------


def test_inject_takes_a_real_restart_to_normal_mode(phase, elm_sample: Path) -> None:
    files = (
        *("--surface", elm_sample / SAMPLE["surface"], "--params", elm_sample / SAMPLE["parameters"]),
        *("--soil-params", elm_sample / SAMPLE["soil parameters"], "--restart", elm_sample / RESTART),
    )
    dry = phase("inject", *files, "--output", RESTART, "--dry-run")
    assert (dry.code, Path(RESTART).exists()) == (0, False)
    assert phase("inject", *files, "--output", RESTART).code == 0
    report = json.loads(Path(f"{RESTART}.diff.json").read_text())
    assert report["audit"]["errors"] == 0
    assert phase("audit", RESTART).code == 0
    assert sorted(path.name for path in Path().iterdir()) == [RESTART, f"{RESTART}.diff.json"]


@pytest.mark.parametrize("name", ["surface", "twenty-year history", "parameters", "forcing"])
def test_inject_into_another_kind_of_file_is_refused_and_leaves_nothing(
    phase, elm_sample: Path, name: str
) -> None:
    refusal = phase(
        *("inject", "--restart", elm_sample / SAMPLE[name], "--surface", elm_sample / SAMPLE["surface"]),
        *("--params", elm_sample / SAMPLE["parameters"], "--output", "out.nc"),
    ).refusal
    assert "is no restart" in refusal
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("option", "name"), [("--surface", "domain"), ("--params", "surface")])
def test_inject_with_files_exchanged_is_refused_and_leaves_nothing(
    phase, elm_sample: Path, option: str, name: str
) -> None:
    files = {
        "--surface": elm_sample / SAMPLE["surface"],
        "--params": elm_sample / SAMPLE["parameters"],
        option: elm_sample / SAMPLE[name],
    }
    words = [word for pair in files.items() for word in pair]
    refusal = phase("inject", "--restart", elm_sample / RESTART, *words, "--output", "out.nc").refusal
    assert str(elm_sample / SAMPLE[name]) in refusal
    assert list(Path().iterdir()) == []


# -- equilibrium --------------------------------------------------------------------------------------------


def test_equilibrium_judges_a_real_history(phase, elm_sample: Path) -> None:
    files = sorted((elm_sample / "history").glob("*.h0.*"))
    words = ("--forcing-years", 10, "--output", "verdict.json", "--strict")
    said = phase("equilibrium", "--history", *files, *words)
    # Twenty years after a cold start nothing is in equilibrium.
    assert said.code == 3
    assert "not in equilibrium after 20 years" in said.err
    assert json.loads(Path("verdict.json").read_text())


def test_equilibrium_judges_a_history_of_the_embedded_model(phase, embedded: Path) -> None:
    files = sorted((embedded / "normal").glob("*.h1.*"))
    said = phase("equilibrium", "--history", *files, "--forcing-years", 20, "--output", "verdict.json")
    assert said.code == 0
    assert "Traceback" not in said.err


@pytest.mark.parametrize("name", ["restart", "surface", "domain", "parameters", "forcing"])
def test_equilibrium_of_another_kind_of_file_is_refused(phase, elm_sample: Path, name: str) -> None:
    words = ("--forcing-years", 10, "--output", "verdict.json")
    refusal = phase("equilibrium", "--history", elm_sample / SAMPLE[name], *words).refusal
    assert str(elm_sample / SAMPLE[name]) in refusal
    assert list(Path().iterdir()) == []


# -- all of them --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ["inspect", "audit"])
@pytest.mark.parametrize("content", [b"", b"no numbers", b"CDF\x05", b"\x89HDF\r\n\x1a\n"])
def test_files_that_cannot_be_read_are_refused_in_one_line(
    phase, tmp_path: Path, tool: str, content: bytes
) -> None:
    (tmp_path / "broken.nc").write_bytes(content)
    assert "broken.nc" in phase(tool, tmp_path / "broken.nc").refusal
    assert "none.nc" in phase(tool, tmp_path / "none.nc").refusal
    assert str(tmp_path) in phase(tool, tmp_path).refusal


def test_a_process_of_its_own_in_an_empty_directory_needs_nothing_else(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    empty = tmp_path / "empty"
    empty.mkdir()
    said = command("inspect", world.restart, "--json", cwd=empty)
    assert (said.code, json.loads(said.out)["kind"], said.err) == (0, "restart", "")
    edit(world.restart, "npool", int(world.patch[0, 1]), -1.0)
    said = command("audit", world.restart, cwd=empty)
    assert (said.code, "Traceback" in said.err) == (3, False)
    assert "npool" in said.out
    assert list(empty.iterdir()) == []
