"""The examples for real ELM with the stand-in in place of E3SM: `phase check`, and the chain of a dry run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from phase_lib.cli import main
from phase_lib.config.kinds import overlay
from tests.cime.double import DESK, Checkout, lay_out
from tests.cime.double.scripts.namelists import DEFAULT_FILES
from tests.helpers.dataset import Grid, shuffled_grid, write_params, write_restart, write_surface
from tests.helpers.domain_files import some_cells, write_domain, write_forcing
from tests.helpers.restarts import write_soil_parameters
from tests.helpers.streams import write_streams
from tests.workflow.conftest import ROOT, copy_of_the_workflow

GLOBE, REGION = (ROOT / "examples" / f"{name}.yaml" for name in ("e3sm_1deg_cime", "uelm_sites_to_domain"))
GSWP3 = "atm/datm7/atm_forcing.datm7.GSWP3.0.5d.v1.c170516"
#: Stream of the tests -> directory and name of the stream of GSWP3 that has its variables.
OF_GSWP3 = {"Prec": "Precip/{}.Prec", "Solr": "Solar/{}.Solr", "TPQWL": "TPHWL/{}.TPQWL"}


@dataclass(frozen=True)
class Place:
    """What the environment variables of the examples stand for.

    Attributes:
        checkout: `$E3SM` and `$DIN_LOC_ROOT`.
        spinup: `$SPINUP`.
        grid: cells of the region; the first ones are the sites.
    """

    checkout: Checkout
    spinup: Path
    grid: Grid

    def here(self, results: Path, **changes: Any) -> dict[str, Any]:
        """What puts an example on this machine, and changes."""
        few = {"tasks": 2, "tasks_per_node": 2}  # more tasks than cells would be a finding
        cime = {"machine": DESK, "extra_machines_dir": str(self.checkout.machines), **few}
        cime["by_domain"] = {"sites": few, "region": few}
        return {"run": {"results_dir": str(results)}, "cime": cime, **changes}


Check = Callable[..., list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The stand-in, and small files in the places that the examples name."""
    checkout = lay_out(tmp_path_factory.mktemp("e3sm"))
    spinup, data, grid = checkout.place / "spinup", checkout.input_data, shuffled_grid(2, 3)
    forcing = spinup / "forcing"
    forcing.mkdir(parents=True)
    for stream, of_gswp3 in OF_GSWP3.items():
        name = data / GSWP3 / of_gswp3.format("clmforc.GSWP3.c2011.0.5x0.5")
        name.parent.mkdir(parents=True)
        _write_years(name, grid, stream, range(1901, 1921))
        _write_years(forcing / f"clmforc.Daymet4.1km.{stream}", grid, stream, range(1980, 2000))
    (data / GSWP3 / "domain.lnd.360x720_gswp3.0v1.c170606.nc").touch()
    default = {name: data / file for name, file in DEFAULT_FILES["f09_f09"].items()}
    for path in default.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    write_domain(default["domain"], grid.lat, grid.lon)
    write_surface(default["fsurdat"], grid)
    for name, cells in {"sites": some_cells(grid, slice(0, 3)), "region": grid}.items():
        write_streams(spinup / name, spinup / name / "domain.lnd.nc", forcing)
        write_domain(spinup / name / "domain.lnd.nc", cells.lat, cells.lon)
        write_surface(spinup / name / "surfdata.nc", cells)
    write_params(spinup / "clm_params_c211124.nc")
    write_soil_parameters(spinup / "CNP_parameters_c180529.nc")
    return Place(checkout, spinup, grid)


def _write_years(name: Path, grid: Grid, stream: str, years: range) -> None:
    """Forcing of some years, month by month; but for the year in their clock they are the same."""
    for month in range(1, 13):
        first = name.with_name(f"{name.name}.{years[0]}-{month:02d}.nc")
        content = write_forcing(first, grid, stream, f"{years[0]}-{month:02d}").read_bytes()
        for year in years[1:]:
            other = name.with_name(f"{name.name}.{year}-{month:02d}.nc")
            other.write_bytes(content.replace(b"%d-" % years[0], b"%d-" % year))


@pytest.fixture(autouse=True)
def _environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables in the paths of the examples."""
    monkeypatch.setenv("E3SM", str(place.checkout.root))
    monkeypatch.setenv("DIN_LOC_ROOT", str(place.checkout.input_data))
    monkeypatch.setenv("SPINUP", str(place.spinup))


@pytest.fixture
def check(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """The lines of `phase check` on an example that is put on this machine."""

    def run(example: Path, **changes: Any) -> list[str]:
        content = yaml.safe_load(example.read_text(encoding="utf-8"))
        path = tmp_path / example.name
        merged = overlay(content, place.here(tmp_path / "results", **changes))
        path.write_text(yaml.safe_dump(merged), encoding="utf-8")
        with pytest.raises(SystemExit) as end:
            main(["check", "--config", str(path)])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if line.startswith("phase: ")]
        # A file that is missing ends the check at once, with exit code 2.
        assert end.value.code in ((2, 3) if lines else (0,)), captured
        return lines

    return run


@pytest.mark.parametrize("example", [GLOBE, REGION], ids=lambda path: path.stem)
def test_an_example_has_no_finding_where_its_files_are_there(check: Check, example: Path) -> None:
    assert check(example) == []


@pytest.mark.parametrize(
    ("example", "domains", "chain"),
    [
        (GLOBE, ["globe"], {"run_ad_0021", "run_reference_1201", "run_injected_0041", "run_control_0141"}),
        (REGION, ["sites", "region"], {"run_sites_ad_0041", "run_sites_reference_1201", "run_injected_0141"}),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_a_dry_run_of_an_example_shows_its_chain(
    place: Place, tmp_path: Path, example: Path, domains: list[str], chain: set[str]
) -> None:
    workflow = copy_of_the_workflow(tmp_path / "workflow")
    here = tmp_path / "here.yaml"
    # The forcing in one piece for each domain: hundreds of jobs less to plan.
    whole = {"fusion": {"forcing_by_variable": False, "forcing_years_per_job": None}}
    here.write_text(yaml.safe_dump(place.here(tmp_path / "results", **whole)), encoding="utf-8")
    planned = workflow.planned((str(example), str(here)))
    cases = {f"{step}_case_{name}" for step in ("create", "build") for name in domains}
    assert cases | chain | {"train_surrogate", "inject_restart"} <= planned
    assert not any(name.startswith("run_sites_injected") for name in planned)


def test_a_surface_file_that_is_not_there_is_one_line(check: Check, tmp_path: Path) -> None:
    missing = tmp_path / "surfdata.nc"
    [line] = check(REGION, domains={"region": {"surface": str(missing)}})
    assert f"{missing}: no such file" in line


def test_an_ad_run_with_another_mortality_factor_is_one_line(
    check: Check, place: Place, tmp_path: Path
) -> None:
    restart = write_restart(tmp_path / "ad.elm.r.0021-01-01-00000.nc", place.grid, year=21, spinup_state=1)
    given = {"restart": str(restart), "history": [str(restart)], "spinup_mortality_factor": 7.0}
    [line] = check(REGION, domains={"sites": given})
    assert "domains.sites: spinup_mortality_factor of the run that wrote" in line
    assert "is 7; expected spinup.spinup_mortality_factor (10)" in line


def test_a_surface_file_of_other_cells_than_the_domain_is_one_line(check: Check, place: Place) -> None:
    domain = str(place.spinup / "region" / "domain.lnd.nc")
    [line] = check(REGION, target={"domain": "sites"}, domains={"sites": {"domain": domain}})
    assert "surfdata.nc" in line
