"""Sites of a domain: their list and files, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phase_lib.base.files import read_json
from phase_lib.cli import main
from phase_lib.elm.domain import read_domain
from phase_lib.elm.surface_content import check_shares
from phase_lib.forcing.variables import FORCING
from tests.helpers.dataset import Grid, shuffled_grid, write_surface
from tests.helpers.domain_files import write_domain
from tests.helpers.forcing import write_piece
from tests.helpers.layouts import contents
from tests.helpers.sites import listed

MEAN = {"FLDS": 300.0, "PSRF": 9.0e4, "FSDS": 180.0, "QBOT": 0.01, "PRECTmms": 3.0e-5, "TBOT": 285.0}


@dataclass(frozen=True)
class Case:
    path: Path
    grid: Grid

    def choose(self, cells: int, out: str, **options: str | Path) -> int:
        """Exit code of the command."""
        files = {"surface": "surfdata.nc", "domain": "domain.nc", "forcing": "monthly.nc"}
        given = {name: self.path / file for name, file in files.items()} | options
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        with pytest.raises(SystemExit) as end:
            main(["choose-sites", *words, "--cells", str(cells), "--output-dir", str(self.path / out)])
        return int(end.value.code or 0)


def forcing(path: Path, grid: Grid) -> Path:
    rng = np.random.default_rng(2)
    shape = (grid.ncells, 24)
    values = {name: MEAN[name] * rng.uniform(0.9, 1.1, shape) for name in FORCING}
    return write_piece(path, values, grid.lat, grid.lon, first_year=1901)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A surface file on a grid, and a list of its cells in another order."""
    path, grid = tmp_path_factory.mktemp("sites"), shuffled_grid(5, 8)
    write_surface(path / "surfdata.nc", grid)
    write_domain(path / "domain.nc", grid.lat, grid.lon)
    forcing(path / "monthly.nc", grid)
    return Case(path, grid)


@pytest.mark.parametrize("method", ["stratified", "random"])
def test_the_files_of_sites_hold_the_rows_of_the_input_and_fit_together(case: Case, method: str) -> None:
    assert case.choose(25, method, method=method) == 0
    out = case.path / method
    table = pd.read_csv(out / "sites.csv")
    cells = table.land_cell.to_numpy()
    np.testing.assert_allclose(table.lat, case.grid.lat[cells])
    np.testing.assert_allclose(table.lon, case.grid.lon[cells] % 360.0)
    assert (len(set(cells)), table.cells.sum()) == (25, 40)
    # The domain has a cell of ocean before the land.
    points = {"surfdata.nc": table.surface_cell.to_numpy(), "domain.nc": cells + 1}
    grids = {
        "surfdata.nc": (("lsmlat", "lsmlon"), ("gridcell",)),
        "domain.nc": (("nj", "ni"), ("nj", "ni")),
    }
    for name, (grid, onto) in grids.items():
        expected = contents(listed(case.path / name, out / "expected.nc", grid, onto, points[name]))
        written = contents(out / name)
        assert written.keys() == expected.keys()
        for variable, values in expected.items():
            np.testing.assert_array_equal(written[variable], values, err_msg=variable)
        assert (out / name).read_bytes()[:4] == (case.path / name).read_bytes()[:4]
    land = read_domain(out / "domain.nc")
    assert land.shape == (1, 25)
    everywhere = np.ones(25, dtype=bool)
    assert check_shares(out / "surfdata.nc", land.lat, land.lon, everywhere, compared=False) > 0.0
    # A subset is chosen from as the whole was.
    files = {"surface": out / "surfdata.nc", "domain": out / "domain.nc"}
    assert case.choose(3, f"{method}_again", **files) == 0


def test_each_pft_and_soil_order_has_a_site_and_the_same_seed_gives_the_same_sites(case: Case) -> None:
    for out in ("first", "second"):
        assert case.choose(35, out) == 0
    first, second = (case.path / out / "sites.csv" for out in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    sites = pd.read_csv(first).land_cell
    cover = 100.0 * case.grid.cover >= 5.0
    assert np.all(cover[sites].any(axis=0) == cover.any(axis=0))
    assert set(sites % 16) == set(range(16))
    assert read_json(case.path / "first" / "sites.json")["strata_without_site"] == []


def test_inputs_that_do_not_fit_end_in_one_line_and_write_nothing(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shuffled_grid(4, 6)
    faults = {
        "at most 40": (41, {}),
        "surface cells": (5, {"surface": write_surface(tmp_path / "surface.nc", other)}),
        "cells with forcing": (5, {"forcing": forcing(tmp_path / "forcing.nc", other)}),
    }
    for message, (cells, options) in faults.items():
        assert case.choose(cells, "refused", **options) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("phase: ")]
        assert len(lines) == 1
        assert message in lines[0]
        assert not (case.path / "refused").exists()
