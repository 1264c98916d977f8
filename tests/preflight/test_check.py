"""Inputs that do not fit together are refused before anything runs, each with a line of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.cli import main
from phase_lib.config.loading import validate
from phase_lib.config.root import WorkflowConfig
from phase_lib.elm.domain import read_domain
from phase_lib.elm.soil_budget import BUDGET_FIELDS
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.landmodel.domain import Domain, Segment
from phase_lib.landmodel.embedded.segment import run_segment
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.world.build import make_world
from phase_lib.landmodel.planning import domains_of
from phase_lib.preflight.disk import room_for
from tests.helpers.dataset import Grid, shuffled_grid, write_restart
from tests.helpers.domain_files import (
    DomainFolder,
    make_domain,
    some_cells,
    write_domain,
    write_forcing,
    write_history,
)
from tests.helpers.layouts import divided, without_soil
from tests.helpers.restarts import edit, hide, raw, write_surface
from tests.helpers.restarts import make_world as make_restart
from tests.helpers.units import domain_units

pytestmark = pytest.mark.slow

CELLS = 12


@dataclass(frozen=True)
class Outcome:
    """What a check came to.

    Attributes:
        code: exit code.
        out: what was understood.
        lines: findings.
        report: the report where it was written.
    """

    code: int
    out: str
    lines: list[str]
    report: dict[str, Any] | None

    def only(self) -> str:
        """The one finding, after which the exit code is 3 and no report is there."""
        assert self.code == 3, (self.lines, self.out)
        assert self.report is None
        assert len(self.lines) == 1, self.lines
        return self.lines[0]


Check = Callable[..., Outcome]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> DomainFolder:
    """A domain of twelve cells with nothing wrong, not to be changed."""
    return make_domain(tmp_path_factory.mktemp("domain") / "files", shuffled_grid(3, 4))


@pytest.fixture(scope="module")
def subset(sound: DomainFolder, tmp_path_factory: pytest.TempPathFactory) -> DomainFolder:
    """The files of a domain with the first three of its cells."""
    return make_domain(tmp_path_factory.mktemp("subset") / "files", some_cells(sound.grid, slice(0, 3)))


@pytest.fixture
def part(subset: DomainFolder, tmp_path: Path) -> DomainFolder:
    """A copy of that domain."""
    return subset.copy(tmp_path / "part")


@pytest.fixture
def spoilt(sound: DomainFolder, tmp_path: Path) -> DomainFolder:
    """A copy of it to be spoilt."""
    return sound.copy(tmp_path / "spoilt")


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs `phase check`."""

    def words(*arguments: object) -> Outcome:
        report = tmp_path / "preflight.json"
        report.unlink(missing_ok=True)
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["check", *map(str, arguments), "--report", str(report)])
        captured = capsys.readouterr()
        lines = [line for line in captured.err.splitlines() if not line.startswith("[")]
        assert all(line.startswith("phase: ") for line in lines)
        content = json.loads(report.read_text()) if report.is_file() else None
        assert isinstance(caught.value.code, int)
        return Outcome(caught.value.code, captured.out, lines, content)

    return words


def config(tmp_path: Path, target: dict[str, Any], train: dict[str, Any] | None = None, **more: Any) -> str:
    """A configuration that trains on a domain, by default the target itself, and injects the target."""
    domains = {"full": target} | ({} if train is None else {"tenth": train})
    content = {
        "run": {"name": "run", "results_dir": str(tmp_path / "results")},
        "land_model": {"backend": "archive"},
        "training": {"domains": ["full" if train is None else "tenth"]},
        "target": {"domain": "full"},
        "domains": domains,
    }
    return json.dumps(content | more)


@pytest.fixture
def fault(check: Check, tmp_path: Path) -> Callable[..., str]:
    """The one finding of a domain."""

    def run(folder: DomainFolder, **changes: Any) -> str:
        return check("--config", config(tmp_path, folder.section(**changes))).only()

    return run


def attribute(path: Path, variable: str, name: str, value: str) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc[variable].setncattr(name, value)


# What is sound, and what is said of it.


def test_sound_inputs_give_no_finding_and_a_report_of_what_was_understood(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    outcome = check("--config", config(tmp_path, sound.section()))
    assert (outcome.code, outcome.lines) == (0, [])
    for words in (
        "domain full:",
        f"{CELLS} cells, {2 * CELLS} columns, {18 * CELLS} patches, {int((sound.grid.cover > 0).sum())} of",
        "cells by landunit: soil 12, lake 12",
        "0021-01-01, AD",
        "0019-01-01 to 0021-01-01, 2 samples in 1 files, 7 fields",
        "weather, datm, every 24 hours, 1901 to 1902 in 72 files; model year 1 sees 1901",
        "reference final.elm.r.0801-01-01-00000.nc: 0801-01-01, normal mode",
        "to be written: ad.elm.r.0021-01-01-00000.nc in normal mode",
        "not judged, the history holds one cycle",
        "not compared with the history: FLDS, PSRF, FSDS, QBOT, PRECTmms, TBOT; the history has "
        "no such field",
    ):
        assert words in outcome.out
    assert outcome.report is not None
    domain = outcome.report["domains"]["full"]
    assert domain["restart"]["cells"] == CELLS
    assert domain["restart"]["bytes"] == sound.restart.stat().st_size
    assert domain["forcing"]["step_hours"] == [24.0]
    assert outcome.report["findings"] == []


def test_the_year_of_the_forcing_that_model_year_one_sees_is_said(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    # Model year 1990 sees 1901, so even years do, and model year 1 sees 1902.
    outcome = check("--config", config(tmp_path, sound.section(forcing={"align_year": 1990})))
    assert "model year 1 sees 1902" in outcome.out


def test_forcing_that_the_history_has_in_part_is_compared_in_part(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    with netCDF4.Dataset(spoilt.history, "r+") as nc:
        for name, units in (("TBOT", "K"), ("PBOT", "Pa"), ("RAIN", "mm/s")):
            nc.createVariable(name, "f4", nc["GPP"].dimensions).units = units
    words = "--history", spoilt.history, "--domain", spoilt.domain
    forcing = "--forcing", spoilt.path / "forcing" / "*.nc", "--first-year", 1901, "--years", 2
    for outcome in (
        check("--config", config(tmp_path, spoilt.section())),
        check("--restart", spoilt.restart, *words, *forcing),
    ):
        assert (outcome.code, outcome.lines) == (0, [])
        assert (
            "forcing that is compared with the history once it is reduced: PSRF (PBOT), TBOT\n" in outcome.out
        )
        assert "FLDS, FSDS, QBOT; the history has no such field\n" in outcome.out
        assert "PRECTmms; the history has RAIN without SNOW\n" in outcome.out
        assert "align_year" not in outcome.out
    # Without forcing there is nothing to be said of it.
    assert "compared with the history" not in check("--restart", spoilt.restart, *words).out


def test_files_of_a_real_run_are_sound(check: Check, elm_sample: Path, tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "domain": elm_sample / "domain.lnd.biomes.1d.nc",
        "surface": elm_sample / "surfdata.biomes.1d.nc",
        "params": elm_sample / "clm_params_c211124.nc",
        "soil_params": elm_sample / "CNP_parameters_c180529.nc",
        "restart": elm_sample / "ad20.elm.r.0021-01-01-00000.nc",
    }
    forcing = {
        "files": [str(elm_sample / "forcing" / "clmforc.*.nc")],
        "product": "Daymet",
        "first_year": 1980,
        "align_year": 1990,
    }
    for tape in ("h0", "h1"):
        section = {name: str(path) for name, path in files.items()}
        section |= {
            "history": [str(elm_sample / "history" / f"*.{tape}.*.nc")],
            "forcing": forcing,
            "spinup_mortality_factor": 10.0,
        }
        training = {"training": {"domains": ["embedded"]}, "preflight": {"accept": ["forcing"]}}
        outcome = check("--config", config(tmp_path, section, **training))
        assert (outcome.code, outcome.lines) == (0, [])
        # What its README says: lake in two cells, wetland and glacier in one, urban land in two.
        assert "soil 24, land ice 1, lake 2, wetland 1, urban 2" in outcome.out
        assert "0001-01-01 to 0021-01-01" in outcome.out
        assert "model year 1 sees 1991" in outcome.out
        assert "reduced: FLDS, PSRF (PBOT), FSDS, QBOT, PRECTmms (RAIN + SNOW), TBOT" in outcome.out
        # Means over 20 years do not tell in which order the years came.
        assert ("the order of its years (align_year) is not compared" in outcome.out) == (tape == "h1")


def test_cells_that_topounits_divide_and_cells_without_vegetation_are_reported_and_no_fault(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    for path in (spoilt.restart, spoilt.reference, spoilt.reference_ad):
        divided(path, tmp_path / "divided.nc", {2: 0.4, 7: 0.1})
        without_soil(tmp_path / "divided.nc", path, 5)
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert (outcome.code, outcome.lines) == (0, [])
    assert "cells without a column of natural vegetation: 1; not trained on, not predicted" in outcome.out
    assert "columns of natural vegetation: 13, as topounits divide cells" in outcome.out
    assert outcome.report is not None
    restart = outcome.report["domains"]["full"]["restart"]
    assert (restart["cells"], restart["soil_columns"], restart["cells_without_soil"]) == (CELLS, 13, 1)


def test_the_cover_of_topounits_is_compared_by_its_mean(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_restart(tmp_path / "world", cells=4, topounits="soil")
    files = ("--restart", world.restart, "--surface", world.surface, "--params", world.params)
    outcome = check(*files)
    assert (outcome.code, outcome.lines) == (0, [])
    other = make_restart(tmp_path / "other", cells=4, topounits="soil")
    percent = raw(other.surface, "PCT_NAT_PFT")
    percent[[1, 7], 2] += [3.0, -3.0]
    edit(other.surface, "PCT_NAT_PFT", ..., percent)
    line = check("--restart", other.restart, "--surface", other.surface, "--params", other.params).only()
    assert "the cover of 1 of 4 cells is not PCT_NAT_PFT" in line
    with pytest.raises(SystemExit) as caught:
        main(["audit", str(other.restart), "--surface", str(other.surface), "--params", str(other.params)])
    assert caught.value.code == 3
    assert "pfts1d_wtcol cell 3" in capsys.readouterr().out


def test_output_of_the_embedded_land_model_given_as_files_is_sound(check: Check, tmp_path: Path) -> None:
    world = tmp_path / "world"
    make_world(EmbeddedSettings(cells=12, forcing_resolution_deg=12.0, forcing_years=2), world)
    monthly = tmp_path / "monthly.nc"
    files = sorted((world / "forcing").glob("*.nc"))
    reduce_forcing(
        files, read_domain(world / "domain.lnd.nc"), monthly, first_year=1901, years=2, limit_km=2e3
    )
    domain = Domain(
        "world",
        2,
        domain=world / "domain.lnd.nc",
        surface=world / "surfdata.nc",
        params=world / "clm_params.nc",
        soil_params=world / "CNP_parameters.nc",
        monthly=(monthly,),
    )
    for case, mode in (("ad", "ad"), ("final", "normal")):
        run_segment(Segment(case, mode, 1, 2, None, domain, tmp_path), EmbeddedSettings())
    section = {
        "domain": str(world / "domain.lnd.nc"),
        "surface": str(world / "surfdata.nc"),
        "params": str(world / "clm_params.nc"),
        "soil_params": str(world / "CNP_parameters.nc"),
        "restart": str(tmp_path / "ad.elm.r.0003-01-01-00000.nc"),
        "history": [str(tmp_path / "ad.elm.h0.*.nc")],
        "spinup_mortality_factor": 10.0,
        "reference_restart": str(tmp_path / "final.elm.r.0003-01-01-00000.nc"),
        "reference_history": [str(tmp_path / "final.elm.h0.*.nc")],
        "forcing": {
            "files": [str(world / "forcing" / "*.nc")],
            "product": "world",
            "first_year": 1901,
            "years": 2,
            "limit_km": 2000.0,
        },
    }
    outcome = check("--config", config(tmp_path, section))
    assert (outcome.code, outcome.lines) == (0, [])


# Files that do not belong together.


def test_a_domain_file_of_other_cells_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    write_domain(spoilt.domain, spoilt.grid.lat + 1.0, spoilt.grid.lon)
    line = fault(spoilt)
    assert str(spoilt.domain) in line
    assert str(spoilt.restart) in line
    assert f"{CELLS} of its {CELLS} cells have no partner" in line
    assert "111.2 km away" in line


@pytest.mark.parametrize("which", ["domain", "surface", "reference", "reference_history"])
def test_a_restart_of_a_subset_with_a_file_of_the_full_domain_is_called_so(
    which: str, part: DomainFolder, sound: DomainFolder, fault: Callable[..., str]
) -> None:
    if which == "surface":
        listed_surface(part.surface, sound.grid)
    else:
        shutil.copyfile(getattr(sound, which), getattr(part, which))
    line = fault(part)
    assert "looks like a subset of the cells mixed with the full domain" in line
    assert "has 3 cells, all of them among the 12 of" in line
    assert str(part.restart) in line
    assert str(getattr(part, which)) in line


def test_a_surface_grid_of_the_full_domain_with_lists_of_a_subset_is_called_so(
    part: DomainFolder, sound: DomainFolder, fault: Callable[..., str]
) -> None:
    shutil.copyfile(sound.surface, part.surface)
    line = fault(part)
    assert line.startswith(f"phase: {part.surface}: is a grid of 12 points with land on 12, the 3 cells of ")
    assert "looks like a subset of the cells mixed with the full domain" in line
    # The list has a cell of ocean too.
    assert "expected the 4 points of the domain file" in line


def test_a_surface_grid_whose_land_the_domain_file_masks_is_sound(
    check: Check, part: DomainFolder, sound: DomainFolder, tmp_path: Path
) -> None:
    shutil.copyfile(sound.surface, part.surface)
    with netCDF4.Dataset(part.surface) as nc:
        lat, lon = nc["LATIXY"][:], nc["LONGXY"][:]
    with netCDF4.Dataset(part.domain, "w") as nc:
        nc.createDimension("nj", lat.shape[0])
        nc.createDimension("ni", lat.shape[1])
        mask = np.zeros(lat.shape)
        for y, x in zip(part.grid.lat, part.grid.lon % 360.0, strict=True):
            mask[(lat == y) & (lon == x)] = 1
        fields = {"yc": lat, "xc": lon, "frac": mask, "mask": mask, "area": np.full(lat.shape, 1.0e-3)}
        for name, values in fields.items():
            variable = nc.createVariable(name, "i4" if name == "mask" else "f8", ("nj", "ni"))
            variable.units = domain_units(name)
            variable[:] = values
    outcome = check("--config", config(tmp_path, part.section()))
    assert (outcome.code, outcome.lines) == (0, [])


def test_a_surface_list_whose_ocean_the_domain_file_masks_is_sound(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    """As on an unstructured grid: the domain file has a point of ocean, and so has the surface file."""
    grid = spoilt.grid
    lat, lon = np.append(-80.0, grid.lat), np.append(0.0, grid.lon)
    cover = np.concatenate([grid.cover[:1], grid.cover])
    write_surface(spoilt.surface, lat, lon, cover, np.full(len(lat), 10.0))
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert (outcome.code, outcome.lines) == (0, [])
    assert f"surface file: {CELLS + 1} points" in outcome.out


def listed_surface(path: Path, grid: Grid) -> Path:
    """A surface file that lists the cells of a grid: (gridcell) instead of (lsmlat, lsmlon)."""
    return write_surface(path, grid.lat, grid.lon, grid.cover, np.full(grid.ncells, 10.0))


def test_a_list_and_a_grid_are_both_sound_surface_files(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    listed_surface(spoilt.surface, spoilt.grid)
    assert check("--config", config(tmp_path, spoilt.section())).code == 0


def test_a_surface_grid_without_one_of_the_cells_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    # A whole row of the grid lies elsewhere, and with it the cells on it.
    row = float(np.unique(spoilt.grid.lat)[1])
    with netCDF4.Dataset(spoilt.surface, "r+") as nc:
        nc["LATIXY"][1] = row + 5.0
    missing = int((spoilt.grid.lat == row).sum())
    line = fault(spoilt)
    assert line.startswith(f"phase: {spoilt.surface}: LATIXY, LONGXY: {missing} of the 12 cells")


@pytest.mark.parametrize(("change", "code"), [(0.6, 3), (0.4, 0)])
def test_cover_that_elm_would_abort_on_is_found_and_less_is_not(
    change: float, code: int, check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    listed_surface(spoilt.surface, spoilt.grid)
    with netCDF4.Dataset(spoilt.surface, "r+") as nc:
        nc["PCT_NAT_PFT"][0, 7] += change
        nc["PCT_NAT_PFT"][13, 7] -= change
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert outcome.code == code
    if code:
        line = outcome.only()
        assert str(spoilt.surface) in line
        assert "the cover of 1 of 12 cells is not PCT_NAT_PFT" in line
        assert "cell 8" in line
        assert "at most 0.5 %: ELM aborts" in line


def test_a_soil_order_without_parameters_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    listed_surface(spoilt.surface, spoilt.grid)
    edit(spoilt.surface, "SOIL_ORDER", 3, 16.0)
    line = fault(spoilt)
    assert f"SOIL_ORDER of 1 cells is not in {spoilt.soil_params}, first cell 4 with 16" in line
    assert "expected 0 to 15" in line


def test_only_soil_orders_that_cells_have_need_positive_parameters(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    # Cells have the orders 0 to 11.
    edit(spoilt.soil_params, "smax", 15, 0.0)
    assert check("--config", config(tmp_path, spoilt.section())).code == 0
    edit(spoilt.soil_params, "smax", 11, 0.0)
    line = check("--config", config(tmp_path, spoilt.section())).only()
    assert line.startswith(
        f"phase: {spoilt.soil_params}: variable smax is 0 for soil order 11, which 1 cells"
    )


def test_a_parameter_file_with_too_few_pfts_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    with netCDF4.Dataset(spoilt.params, "w") as nc:
        nc.createDimension("pft", 16)
    line = fault(spoilt)
    assert f"{spoilt.params}: dimension pft" in line
    assert "at least 17 PFTs" in line


@pytest.mark.parametrize("rate", ["k_s4", "k_frag"])
def test_a_parameter_file_without_a_rate_of_the_cascade_is_found(
    rate: str, spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    hide(spoilt.params, rate)
    assert fault(spoilt).startswith(f"phase: {spoilt.params}: parameter {rate} is missing")


def test_a_rate_of_zero_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.params, "k_s3", 0, 0.0)
    assert f"{spoilt.params}: parameter k_s3 is 0; expected" in fault(spoilt)


def test_another_number_of_soil_layers_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    listed_surface(spoilt.surface, spoilt.grid)
    with netCDF4.Dataset(spoilt.surface, "r+") as nc:
        nc.renameVariable("PCT_SAND", "old")
        nc.renameDimension("nlevsoi", "layers")
        nc.createDimension("nlevsoi", 8)
        nc.createVariable("PCT_SAND", "f8", ("nlevsoi", "gridcell"))
    line = fault(spoilt)
    assert f"{spoilt.surface}: variable PCT_SAND has 8 layers (dimension nlevsoi); expected 10" in line


def test_a_reference_under_other_plants_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    other = some_cells(spoilt.grid, slice(0, CELLS))
    other.cover = np.roll(spoilt.grid.cover, 1, axis=0)
    write_restart(spoilt.reference, other, year=801, spinup_state=0)
    line = fault(spoilt)
    assert line.startswith(f"phase: {spoilt.reference}: pfts1d_wtcol: the cover of 12 of 12 cells")
    assert str(spoilt.restart) in line


# Spin-up states and dates.


def test_an_input_restart_that_does_not_say_its_state_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    hide(spoilt.restart, "spinup_state")
    assert f"{spoilt.restart}: variable spinup_state is missing" in fault(spoilt)


def test_a_reference_in_ad_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.reference, "spinup_state", ..., 1)
    line = fault(spoilt)
    assert f"{spoilt.reference}: spinup_state is 1 (AD); expected 0 (normal mode)" in line


def test_an_end_of_ad_in_normal_mode_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.reference_ad, "spinup_state", ..., 0)
    assert f"{spoilt.reference_ad}: spinup_state is 0 (normal mode); expected 1 (AD)" in fault(spoilt)


@pytest.mark.parametrize(("year", "code"), [(39, 3), (40, 0)])
def test_an_end_of_ad_before_the_mean_scalar_is_whole_is_found(
    year: int, code: int, check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.reference_ad, "timemgr_rst_curr_ymd", ..., year * 10000 + 101)
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert outcome.code == code
    if code:
        assert f"{spoilt.reference_ad}: is of model year 39: scalaravg_col is no mean yet" in outcome.only()


@pytest.mark.parametrize("value", [1.0e36, 0.0, np.nan])
def test_an_unusable_mean_scalar_on_a_soil_column_is_found_and_one_on_a_lake_is_not(
    value: float, check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    with netCDF4.Dataset(spoilt.reference_ad) as nc:
        kind, cell = np.asarray(nc["cols1d_ityp"][:]), np.asarray(nc["cols1d_gridcell_index"][:])
    lake, soil = int(np.flatnonzero(kind == 5)[0]), int(np.flatnonzero(kind == 1)[2])
    edit(spoilt.reference_ad, "scalaravg_col", lake, value)
    assert check("--config", config(tmp_path, spoilt.section())).code == 0
    edit(spoilt.reference_ad, "scalaravg_col", soil, value)
    line = check("--config", config(tmp_path, spoilt.section())).only()
    assert line.startswith(
        f"phase: {spoilt.reference_ad}: variable scalaravg_col is not usable on 1 of 12 soil columns, "
        f"first that of cell {cell[soil]} with "
    )
    # Where ice covers the whole cell its soil column is not active, and nothing is averaged.
    with netCDF4.Dataset(spoilt.reference_ad, "r+") as nc:
        nc.createVariable("cols1d_active", "i4", ("column",))[:] = 1
    assert check("--config", config(tmp_path, spoilt.section())).code == 3
    edit(spoilt.reference_ad, "cols1d_active", soil, 0)
    assert check("--config", config(tmp_path, spoilt.section())).code == 0


def test_an_input_restart_late_in_ad_needs_the_mean_scalar_and_one_of_year_21_does_not(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    hide(spoilt.restart, "scalaravg_col")
    assert check("--config", config(tmp_path, spoilt.section())).code == 0
    edit(spoilt.restart, "timemgr_rst_curr_ymd", ..., 610101)
    write_history(spoilt.history, spoilt.grid, first=59, years=2)
    line = check("--config", config(tmp_path, spoilt.section())).only()
    assert f"{spoilt.restart}: variable scalaravg_col is missing" in line
    # ELM divides in the years from 40 on: what is dated 0040-01-01 was never divided.
    edit(spoilt.restart, "timemgr_rst_curr_ymd", ..., 400101)
    write_history(spoilt.history, spoilt.grid, first=38, years=2)
    assert check("--config", config(tmp_path, spoilt.section())).code == 0


def test_a_pool_or_a_field_that_fusion_needs_is_missed_before_the_run(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    hide(spoilt.restart, "litr2p_vr")
    hide(spoilt.surface, "PCT_CLAY")
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert outcome.code == 3
    assert [line.partition(";")[0] for line in outcome.lines] == [
        f"phase: {spoilt.restart}: variable litr2p_vr is missing",
        f"phase: {spoilt.surface}: variable PCT_CLAY is missing",
    ]


def test_a_negative_ratio_of_a_plant_organ_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.params, "leafcn", 4, -25.0)
    assert f"{spoilt.params}: parameter leafcn is -25 for PFT 4; expected 0 or more" in fault(spoilt)


def test_a_run_with_another_cascade_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    with netCDF4.Dataset(spoilt.restart, "r+") as nc:
        nc.createVariable("decomp_cascade_state", "i4", ())[...] = 11
    assert f"{spoilt.restart}: decomp_cascade_state is 11; expected 10, the CTC cascade" in fault(spoilt)


def test_a_restart_within_a_year_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.restart, "timemgr_rst_curr_ymd", ..., 210301)
    assert f"{spoilt.restart}: timemgr_rst_curr_ymd is 0021-03-01" in fault(spoilt)


@pytest.mark.parametrize(("first", "covered"), [(18, "1.00"), (21, "0.00")])
def test_a_history_that_does_not_cover_the_cycle_before_the_restart_is_found(
    first: int, covered: str, spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    write_history(spoilt.history, spoilt.grid, first=first, years=2)
    line = fault(spoilt)
    assert (
        f"{spoilt.history}: time_bounds: the history covers {covered} of the 2 years before 0021-01-01"
        in line
    )
    assert "model years 19 to 20" in line


def test_a_history_of_the_reference_that_ends_before_its_restart_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    write_history(spoilt.reference_history, spoilt.grid, first=790, years=2)
    assert f"{spoilt.reference_history}: time_bounds: the history covers 0.00 of the 2 years" in fault(spoilt)


def case(path: Path, name: str, value: str) -> None:
    with netCDF4.Dataset(path, "r+") as nc:
        nc.setncattr(name, value)


def test_a_history_of_another_case_than_the_restart_is_found_and_may_be_accepted(
    spoilt: DomainFolder, fault: Callable[..., str], check: Check, tmp_path: Path
) -> None:
    case(spoilt.restart, "case_id", "ad20      ")
    case(spoilt.history, "case", "ad20  ")
    assert check("--config", config(tmp_path, spoilt.section())).code == 0
    case(spoilt.history, "case", "control")
    line = fault(spoilt)
    assert f"{spoilt.history}: is of case 'control'; expected case 'ad20', that of {spoilt.restart}" in line
    assert "put history_case into preflight.accept" in line
    more = {"preflight": {"accept": ["history_case"]}}
    outcome = check("--config", config(tmp_path, spoilt.section(), **more))
    assert outcome.code == 0
    assert f"accepted: {spoilt.history}: is of case 'control'" in outcome.out


@pytest.mark.parametrize(
    ("text", "words"), [("time: point", "snapshots"), ("time: maximum", "maxima"), ("time: sum", "sums")]
)
def test_a_tape_that_holds_no_means_is_found_with_and_without_a_restart(
    text: str, words: str, spoilt: DomainFolder, fault: Callable[..., str], check: Check
) -> None:
    for name in ("GPP", "HR", "TOTSOMC"):
        attribute(spoilt.history, name, "cell_methods", text)
    attribute(spoilt.history, "NPP", "cell_methods", "time: mean")
    line = f"{spoilt.history}: variables GPP, HR hold {words} (cell_methods '{text}')"
    assert line in fault(spoilt)
    assert line in check("--history", spoilt.history).only()


def test_a_reference_of_snapshots_is_found(spoilt: DomainFolder, check: Check, tmp_path: Path) -> None:
    attribute(spoilt.reference_history, "GPP", "cell_methods", "time: instantaneous")
    line = check("--config", config(tmp_path, spoilt.section())).only()
    assert f"{spoilt.reference_history}: variable GPP holds snapshots" in line


@pytest.mark.parametrize(
    ("name", "units", "words"),
    [
        ("GPP", "gC/m^2/yr", "variable GPP has units 'gC/m^2/yr'"),
        ("NPP", "", "variable NPP has no attribute units"),
        ("area", "", "variable area has no attribute units"),
        ("area", "steradian", "variable area has units 'steradian', in which cell 1 has"),
    ],
)
def test_units_that_a_history_lacks_or_contradicts_are_found(
    name: str, units: str, words: str, spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    attribute(spoilt.history, name, "units", units)
    assert f"{spoilt.history}: {words}" in fault(spoilt)


def test_a_history_without_a_needed_field_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    write_history(spoilt.history, spoilt.grid, first=19, years=2, leave_out=("HR", "GPP"))
    assert f"{spoilt.history}: variables GPP, HR are missing" in fault(spoilt)


# The history with the carbon budget of the soil.


def test_a_soil_history_that_serves_is_reported_and_one_that_does_not_is_found_before_the_run(
    spoilt: DomainFolder, check: Check, fault: Callable[..., str], tmp_path: Path
) -> None:
    path = spoilt.path / "ad.elm.h1.0017-01-01-00000.nc"

    def write(grid: Grid = spoilt.grid, first: int = 16, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
        fields = {name: (units, 1.0) for name, (units,) in BUDGET_FIELDS.items()}
        write_history(path, grid, first=first, years=5, leave_out=leave_out, layers=fields)
        return {"soil_history": [str(path)]}

    outcome = check("--config", config(tmp_path, spoilt.section(**write())))
    assert (outcome.code, outcome.lines) == (0, [])
    assert "carbon budget of the soil: 0016-01-01 to 0021-01-01, 5 samples in 1 files" in outcome.out
    lines = check("--restart", spoilt.restart, "--soil-history", path).lines
    assert lines == []
    given = write(first=17)
    assert f"{path}: the history covers 4 of the last 5 years; expected the carbon budget" in fault(
        spoilt, **given
    )
    given = write(leave_out=("SOIL3_HR_vr", "SOIL4_HR_vr"))
    assert f"{path}: the history has no SOIL3_HR_vr and 1 more" in fault(spoilt, **given)
    given = write(some_cells(spoilt.grid, slice(0, 5)))
    assert f"{path}: has 5 cells, all of them among the {CELLS}" in fault(spoilt, **given)
    given = write()
    attribute(path, "SOIL3_HR_vr", "units", "kgC/m^3/s")
    assert f"{path}: variable SOIL3_HR_vr has units 'kgC/m^3/s'" in fault(spoilt, **given)
    given = write()
    case(spoilt.restart, "case_id", "ad20")
    case(path, "case", "control")
    assert f"{path}: is of case 'control'; expected case 'ad20'" in fault(spoilt, **given)
    path.unlink()
    assert check("--config", config(tmp_path, spoilt.section(**given))).code == 2


# Forcing.


def test_a_missing_month_of_forcing_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    spoilt.forcing("Solr", "1902-05").unlink()
    assert "FSDS of 1902-05 is missing" in fault(spoilt)


def test_a_month_of_forcing_that_is_there_twice_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    again = spoilt.path / "forcing" / "again.Solr.1902-05.nc"
    shutil.copyfile(spoilt.forcing("Solr", "1902-05"), again)
    line = fault(spoilt)
    assert "FSDS of 1902-05 is also in" in line
    assert again.name in line


def test_a_month_of_forcing_under_another_name_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    may, july = spoilt.forcing("Solr", "1902-05"), spoilt.forcing("Solr", "1902-07")
    between = spoilt.path / "kept"
    may.rename(between)
    july.rename(may)
    between.rename(july)
    line = fault(spoilt)
    assert str(may) in line
    assert "time" in line


def test_steps_of_forcing_out_of_order_are_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    edit(spoilt.forcing(), "time", slice(None), np.arange(31)[::-1] + 0.5)
    assert f"{spoilt.forcing()}: time does not increase" in fault(spoilt)


@pytest.mark.parametrize(
    ("variable", "name", "value"), [("time", "calendar", "360_day"), ("TBOT", "units", "degC")]
)
def test_another_calendar_or_unit_of_forcing_is_found(
    variable: str, name: str, value: str, spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    attribute(spoilt.forcing(), variable, name, value)
    assert f"{spoilt.forcing()}: " in fault(spoilt)
    assert value in fault(spoilt)


def test_a_forcing_file_without_a_variable_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    hide(spoilt.forcing(month="1901-03"), "QBOT")
    assert "QBOT of 1901-03 is missing" in fault(spoilt)


def test_a_cell_too_far_from_its_forcing_is_found(spoilt: DomainFolder, fault: Callable[..., str]) -> None:
    middle = np.argmin(np.abs(spoilt.grid.lat))
    far = Grid(spoilt.grid.lat + 0.5 * (np.arange(CELLS) == middle), spoilt.grid.lon)
    for path in sorted((spoilt.path / "forcing").glob("*.nc")):
        stream, month = path.name.split(".")[1:3]
        write_forcing(path, far, stream, month)
    line = fault(spoilt)
    assert "55.6 km away" in line
    assert "expected at most 10 km" in line


# Training and target.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"product": "other weather"}, "product 'weather'; expected product 'other weather'"),
        ({"first_year": 1902, "years": 1}, "forcing of full: years 2; expected years 1"),
    ],
)
def test_other_forcing_in_training_and_target_is_found_unless_accepted(
    change: dict[str, Any], words: str, check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    both = sound.section(), sound.section(forcing=change)
    outcome = check("--config", config(tmp_path, *both))
    assert outcome.code == 3
    assert any(words in line and "that of tenth" in line for line in outcome.lines)
    assert all("put forcing into preflight.accept" in line for line in outcome.lines)
    outcome = check("--config", config(tmp_path, *both, preflight={"accept": ["forcing"]}))
    assert (outcome.code, outcome.lines) == (0, [])
    assert words in outcome.out
    assert outcome.report is not None
    assert any(words in line for line in outcome.report["accepted"])


def test_training_and_target_after_different_years_are_found(
    check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.restart, "timemgr_rst_curr_ymd", ..., 190101)
    write_history(spoilt.history, spoilt.grid, first=17, years=2)
    line = check("--config", config(tmp_path, spoilt.section(), sound.section())).only()
    assert f"{spoilt.restart}: the restart of full is of model year 19; expected 21, that of tenth" in line
    assert str(sound.restart) in line


def test_training_and_target_in_different_spaces_are_found(
    check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.restart, "spinup_state", ..., 0)
    line = check("--config", config(tmp_path, spoilt.section(), sound.section())).only()
    assert f"{spoilt.restart}: the restart of full is in normal mode; expected AD, that of tenth" in line


def test_a_target_after_other_years_than_the_embedded_world_is_found(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    more = {
        "training": {"domains": ["embedded"]},
        "land_model": {"backend": "archive"},
        "spinup": {"input_years": 40},
        "preflight": {"accept": ["forcing"]},
    }
    line = check("--config", config(tmp_path, sound.section(), **more)).only()
    assert "the restart of full is of model year 21; expected 41, that of embedded" in line


def test_a_target_with_another_mortality_factor_is_found(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    target = sound.section(spinup_mortality_factor=1.0)
    line = check("--config", config(tmp_path, target, sound.section())).only()
    assert f"{sound.restart}: spinup_mortality_factor of full is 1; expected 10, that of tenth" in line


@pytest.mark.parametrize(("name", "index"), [("slatop", 4), ("k_s4", ...)])
def test_a_target_with_other_parameters_is_found_and_may_be_accepted(
    name: str, index: Any, check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.params, name, index, 0.05)
    sections = spoilt.section(), sound.section()
    line = check("--config", config(tmp_path, *sections)).only()
    assert line.startswith(
        f"phase: {spoilt.params}: parameters of full are not those of tenth ({sound.params})"
    )
    assert f": {name}; expected runs with one parameter file" in line
    assert "put parameters into preflight.accept" in line
    accepted = check("--config", config(tmp_path, *sections, preflight={"accept": ["parameters"]}))
    assert (accepted.code, accepted.lines) == (0, [])
    assert "parameters of full are not those of tenth" in accepted.out


def test_a_target_with_fewer_pfts_than_trained_with_is_found(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    crops = make_restart(tmp_path / "crops", cells=4, crop=True)
    grid = Grid(crops.lat, crops.lon)
    folder = make_domain(tmp_path / "target", grid)
    section = folder.section(reference_restart=None, reference_history=[], reference_ad_restart=None)
    section |= {"restart": str(crops.restart), "surface": str(crops.surface)}
    line = check("--config", config(tmp_path, section, sound.section())).only()
    assert f"{crops.restart}: the soil columns of full have 15 PFTs; expected 17, that of tenth" in line


def test_domains_to_train_on_with_other_plant_parameters_are_found(
    check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.params, "leafcn", 4, 99.0)
    content = json.loads(config(tmp_path, spoilt.section(), sound.section()))
    content["training"]["domains"] = ["tenth", "full"]
    line = check("--config", json.dumps(content)).only()
    assert line.startswith(f"phase: {spoilt.params}: parameters of full are not those of tenth")
    assert "leafcn" in line


# The drift of the targets.


def test_targets_that_drift_are_found_unless_accepted(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    drift = {"TOTECOSYSC": 5.0, "TOTSOMC": 5.0}
    write_history(spoilt.reference_history, spoilt.grid, first=797, years=4, slopes=drift)
    line = check("--config", config(tmp_path, spoilt.section())).only()
    assert line.startswith(f"phase: {spoilt.reference_history}: the targets drift: ")
    # 5 gC m-2 yr-1 on 12 cells of 1e5 km2 each.
    assert "drift_totsomc_pgc_per_yr 0.006" in line
    assert "area_out_of_equilibrium 1 (at most 0.03 share of land area)" in line
    assert "put target_drift into preflight.accept" in line
    more = {"preflight": {"accept": ["target_drift"]}}
    outcome = check("--config", config(tmp_path, spoilt.section(), **more))
    assert (outcome.code, outcome.lines) == (0, [])
    assert "drift of the targets: NOT in equilibrium" in outcome.out


def test_targets_in_equilibrium_are_said_to_be_so(check: Check, spoilt: DomainFolder, tmp_path: Path) -> None:
    drift = {"TOTECOSYSC": 0.01, "TOTSOMC": 0.01, "TOTVEGC": -0.01}
    write_history(spoilt.reference_history, spoilt.grid, first=797, years=4, slopes=drift)
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert outcome.code == 0
    assert "drift of the targets: in equilibrium over 2 cycles" in outcome.out


def test_only_the_last_two_cycles_are_read_to_judge_the_drift(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    earlier = spoilt.reference_history.with_name("final.elm.h0.0796-01-01-00000.nc")
    write_history(earlier, spoilt.grid, first=793, years=4)
    edit(earlier, "TOTSOMC", ..., np.nan)
    write_history(spoilt.reference_history, spoilt.grid, first=797, years=4)
    both = [str(earlier), str(spoilt.reference_history)]
    outcome = check("--config", config(tmp_path, spoilt.section(reference_history=both)))
    assert (outcome.code, outcome.lines) == (0, [])
    assert "drift of the targets: in equilibrium over 4 cycles" in outcome.out


def test_thresholds_of_the_configuration_judge_the_targets(
    check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    drift = {"TOTECOSYSC": 0.01}
    write_history(spoilt.reference_history, spoilt.grid, first=797, years=4, slopes=drift)
    more = {"equilibrium": {"cell_drift_gc_m2_yr": 0.005}}
    line = check("--config", config(tmp_path, spoilt.section(), **more)).only()
    assert "area_out_of_equilibrium 1 (at most 0.03 share of land area)" in line


# Room on the disk.


def test_a_place_for_the_results_that_is_a_file_is_found(
    check: Check, sound: DomainFolder, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("text")
    run = {"run": {"name": "run", "results_dir": str(tmp_path / "file")}}
    line = check("--config", config(tmp_path, sound.section(), **run)).only()
    assert line == (
        f"phase: {tmp_path}/file/run: cannot be written: {tmp_path}/file is no directory that may be written "
        "to; set run.results_dir to another place"
    )


def test_the_room_for_restarts_forcing_and_records_is_estimated_from_the_headers(
    check: Check, sound: DomainFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 10

    outcome = check("--config", config(tmp_path, sound.section()))
    assert outcome.report is not None
    # Injected restart and control; six variables in 24 months as float32, for the domain and in its records;
    # and a little for each cell.
    least = 2 * sound.restart.stat().st_size + CELLS * 2 * 6 * 24 * 4
    assert least + CELLS * 10_000 < outcome.report["bytes"]["whole"] < least + CELLS * 50_000
    monkeypatch.setattr("phase_lib.preflight.disk.shutil.disk_usage", lambda _: Usage)
    line = check("--config", config(tmp_path, sound.section())).only()
    assert line.startswith(f"phase: {tmp_path / 'results' / 'run'}: the run writes about ")
    assert "0.0 GB are free" in line


def test_the_fields_that_corrections_need_count_in_the_room_for_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = validate(WorkflowConfig, {}, None)

    def whole() -> float:
        return room_for(config, domains_of(config), []).whole

    counted = whole()
    monkeypatch.setattr("phase_lib.landmodel.backends.embedded._FIELD_BYTES", 0)
    # 30 fields year by year up to the input; 32 in each of four windows of two runs; on 36 x 72 x 15 points.
    means = 30 * 20 + 2 * 4 * 32
    assert counted - whole() == pytest.approx(means * 36 * 72 * 15 * 4, rel=0.05)


# What fusion would miss later.


@pytest.mark.parametrize(("which", "name"), [("reference", "soil4c_vr"), ("restart", "tlai")])
def test_a_restart_without_what_fusion_reads_is_found(
    which: str, name: str, spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    hide(getattr(spoilt, which), name)
    line = fault(spoilt)
    assert line.startswith(f"phase: {getattr(spoilt, which)}: variable {name} is missing")


def test_a_history_that_does_not_say_how_large_its_cells_are_is_found(
    spoilt: DomainFolder, fault: Callable[..., str]
) -> None:
    hide(spoilt.history, "area")
    assert fault(spoilt).startswith(f"phase: {spoilt.history}: variable area is missing")


# How findings are printed.


def test_the_mortality_factor_of_files_given_by_hand_is_reported_or_unknown(
    check: Check, sound: DomainFolder
) -> None:
    assert "spinup_mortality_factor not given (--mortality-factor)" in check("--restart", sound.restart).out
    said = check("--restart", sound.restart, "--mortality-factor", 7).out
    assert "spinup_mortality_factor 7: what dead wood is multiplied by" in said


def test_all_findings_of_all_domains_have_one_line_each(
    check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    edit(spoilt.reference, "spinup_state", ..., 1)
    edit(spoilt.soil_params, "smax", 3, -1.0)
    hide(spoilt.params, "k_s1")
    spoilt.forcing("Prec", "1901-01").unlink()
    outcome = check("--config", config(tmp_path, spoilt.section(), sound.section()))
    assert outcome.code == 3
    assert outcome.report is None
    assert len(outcome.lines) == 4
    for words in ("smax", "k_s1", "spinup_state", "PRECTmms of 1901-01"):
        assert sum(words in line for line in outcome.lines) == 1


@pytest.mark.parametrize("role", ["restart", "surface", "domain", "params", "history", "reference"])
def test_a_damaged_file_exits_2_with_one_line(
    role: str, check: Check, spoilt: DomainFolder, tmp_path: Path
) -> None:
    path: Path = getattr(spoilt, role)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 8])
    outcome = check("--config", config(tmp_path, spoilt.section()))
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    assert str(path) in outcome.lines[0]
    assert outcome.report is None


def test_a_name_that_stands_for_no_file_exits_2(check: Check, sound: DomainFolder, tmp_path: Path) -> None:
    section = sound.section(history=[str(tmp_path / "nothing*.nc")])
    outcome = check("--config", config(tmp_path, section))
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "nothing*.nc: no such file" in outcome.lines[0]


# Files by themselves.


def test_files_by_themselves_are_checked_without_any_configuration(
    check: Check, sound: DomainFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, object] = {
        "--restart": sound.restart,
        "--surface": sound.surface,
        "--domain": sound.domain,
        "--params": sound.params,
        "--soil-params": sound.soil_params,
        "--history": sound.history,
        "--forcing": sound.path / "forcing" / "*.nc",
        "--first-year": 1901,
        "--years": 2,
        "--product": "weather",
        "--reference-restart": sound.reference,
        "--reference-history": sound.reference_history,
        "--reference-ad-restart": sound.reference_ad,
    }
    outcome = check(*(word for pair in given.items() for word in pair))
    assert (outcome.code, outcome.lines) == (0, [])
    assert outcome.out.endswith("files: ok\n")
    assert "weather, datm, every 24 hours" in outcome.out
    assert outcome.report is not None
    assert outcome.report["bytes"] is None


@pytest.mark.parametrize("roles", [("restart", "domain"), ("domain", "surface"), ("restart", "surface")])
def test_any_two_files_of_a_grid_are_compared(
    roles: tuple[str, str], check: Check, sound: DomainFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    other = some_cells(sound.grid, slice(0, CELLS))
    other.lat = sound.grid.lat + 1.0
    moved = make_domain(tmp_path / "moved", other)
    words = [word for role in roles for word in (f"--{role}", getattr(sound, role))]
    assert check(*words).code == 0
    words[-1] = getattr(moved, roles[1])
    line = check(*words).only()
    assert str(getattr(moved, roles[1])) in line


def test_forcing_by_itself_is_checked_for_its_months(
    check: Check, spoilt: DomainFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--forcing", *sorted((spoilt.path / "forcing").glob("*.nc")), "--years", 2]
    outcome = check(*words)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "--first-year" in outcome.lines[0]
    assert check(*words, "--first-year", 1901).code == 0
    assert "1903-01 is missing" in check(*words, "--first-year", 1902).only()


def test_parameters_by_themselves_are_checked(
    check: Check, tmp_path: Path, sound: DomainFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check("--params", sound.params).code == 0
    assert "dimension pft is missing" in check("--params", sound.soil_params).only()


def test_without_files_and_configuration_nothing_is_checked(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = check()
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "workflow_config.yaml" in outcome.lines[0]


# How the AD run was set up.


def began(restart: Path, year: int) -> None:
    """Writes the year in which the run began that wrote a restart."""
    with netCDF4.Dataset(restart, "r+") as d:
        if "timemgr_rst_start_ymd" not in d.variables:
            d.createVariable("timemgr_rst_start_ymd", "i4", ())
        d["timemgr_rst_start_ymd"][...] = year * 10000 + 101


def lnd_in(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["&elm_inparm", " spinup_state = 1", *lines, "/"]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("start", "year", "scalar", "said"),
    [
        (1, 21, 0.01, "AD run begun in 0001: rates were not divided by scalaravg_col"),
        (1850, 1870, 1.0, "AD run begun in 1850: scalaravg_col is no mean of the run"),
        (30, 50, 0.1, "AD run begun in 0030: scalaravg_col is a mean of 0030 to 0039 alone"),
    ],
)
def test_the_year_in_which_ad_began_is_said_with_what_its_averaged_scalar_allows(
    check: Check, tmp_path: Path, start: int, year: int, scalar: float, said: str
) -> None:
    world = make_restart(tmp_path, year=year, scalaravg=scalar)
    began(world.restart, start)
    assert said in check("--restart", world.restart).out


def test_a_run_that_began_after_its_restart_is_found(check: Check, tmp_path: Path) -> None:
    world = make_restart(tmp_path, year=21)
    began(world.restart, 1850)
    line = check("--restart", world.restart).only()
    assert f"{world.restart}: timemgr_rst_start_ymd is of year 1850, after the date" in line
    assert "0021-01-01" in line


def test_slow_pools_that_nothing_decomposed_are_found(check: Check, tmp_path: Path) -> None:
    # A cold start after the years of averaging: rates are divided by fill.
    world = make_restart(tmp_path, year=1870, scalaravg=1.0e36)
    began(world.restart, 1850)
    line = check("--restart", world.restart).only()
    assert f"{world.restart}: variable scalaravg_col is not usable on 3 of 3 soil columns" in line


def test_the_namelist_without_a_line_is_a_factor_of_1_which_the_wood_may_contradict(
    check: Check, tmp_path: Path
) -> None:
    world = make_restart(tmp_path / "world", cells=8)
    words = ("--restart", world.restart, "--params", world.params, "--lnd-in")
    outcome = check(*words, lnd_in(tmp_path / "ten", " spinup_mortality_factor = 10"))
    assert (outcome.code, outcome.lines) == (0, [])
    assert "spinup_mortality_factor 10: what dead wood is multiplied by" in outcome.out
    assert "nyears_ad_carbon_only 0, suplphos ALL" in outcome.out
    line = check(*words, lnd_in(tmp_path / "none")).only()
    assert f"{world.restart}: spinup_mortality_factor is given as 1, but the wood is of another run" in line
    assert "goes with 10" in line


def test_the_namelist_of_a_run_in_normal_mode_is_found(check: Check, tmp_path: Path) -> None:
    world = make_restart(tmp_path / "world")
    normal = tmp_path / "lnd_in"
    normal.write_text("&elm_inparm\n spinup_state = 0\n/\n", encoding="utf-8")
    line = check("--restart", world.restart, "--lnd-in", normal).only()
    assert f"{normal}: spinup_state is 0, but {world.restart} is of a run in AD (1)" in line


@pytest.mark.parametrize(
    ("of_tenth", "of_full", "message"),
    [
        ([" nyears_ad_carbon_only = 25"], [" nyears_ad_carbon_only = 20"], ""),  # the restart is of year 21
        (
            [" nyears_ad_carbon_only = 25"],
            [],
            "nyears_ad_carbon_only: years without limits up to the restart of full is 0; expected 20, "
            "that of tenth",
        ),
        (
            [" suplphos = 'NONE'"],
            [" suplphos = 'ALL'"],
            "suplphos of full is ALL; expected NONE, that of tenth",
        ),
        (
            [" suplphos = 'NONE'", " nyears_ad_carbon_only = 20"],
            [" suplphos = 'ALL'", " nyears_ad_carbon_only = 20"],
            "",  # nothing limited growth in either
        ),
    ],
)
def test_another_supply_of_nutrients_than_that_learnt_from_is_found_where_growth_felt_it(
    check: Check,
    sound: DomainFolder,
    spoilt: DomainFolder,
    tmp_path: Path,
    of_tenth: list[str],
    of_full: list[str],
    message: str,
) -> None:
    sections = []
    for name, domain, lines in (("tenth", sound, of_tenth), ("full", spoilt, of_full)):
        path = lnd_in(tmp_path / name, " spinup_mortality_factor = 10", *lines)
        sections.append(domain.section(lnd_in=str(path)))
    outcome = check("--config", config(tmp_path, sections[1], sections[0]))
    if message:
        assert message in outcome.lines[-1]
        assert len(outcome.lines) == 1
    else:
        assert (outcome.code, outcome.lines) == (0, [])


def test_a_target_whose_ad_run_began_in_another_year_is_found(
    check: Check, sound: DomainFolder, spoilt: DomainFolder, tmp_path: Path
) -> None:
    began(spoilt.restart, 11)
    line = check("--config", config(tmp_path, spoilt.section(), sound.section())).only()
    assert "timemgr_rst_start_ymd: year of full is 11; expected 1, that of tenth" in line
