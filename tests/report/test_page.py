"""The HTML report: complete, self-contained, and true to its numbers."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json
from phase_lib.report.maps import CellMap
from phase_lib.report.page import load_tests, write_report
from phase_lib.report.products import RunProducts
from phase_lib.report.summary import write_summary
from tests.helpers.run_products import GlobalGrid, synthetic_run

pytestmark = pytest.mark.xdist_group("report")
GRID = GlobalGrid(lat=np.arange(-52.5, 75.0, 7.5), lon=np.arange(3.75, 360.0, 7.5))
FIGURES = {
    "stocks_over_time",
    "criteria_over_time",
    "drift_maps",
    "soil_carbon_maps",
    "skill_overview",
    "scatter_random",
    "scatter_block",
    "r2_by_pft_and_layer_random",
    "r2_by_pft_and_layer_block",
    "out_of_distribution_map",
    "split_maps",
    "training_curves",
    "cost",
}


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.found.append(value)
            if name == "id" and value:
                self.ids.add(value)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> RunProducts:
    root = tmp_path_factory.mktemp("run")
    products, facts = synthetic_run(root, GRID)
    write_summary(products, facts, root / "summary.json")
    write_report(root / "summary.json", products, root / "report")
    return products


@pytest.fixture(scope="module")
def root(products: RunProducts) -> Path:
    return products.predictions.parent


def test_the_page_refers_only_to_files_that_are_there(root: Path) -> None:
    links = Links()
    links.feed((root / "report" / "index.html").read_text(encoding="utf-8"))
    outside = [link for link in links.found if re.match(r"(?:[a-z]+:)?//|data:", link)]
    assert not outside
    for link in links.found:
        if link.startswith("#"):
            assert link[1:] in links.ids
        else:
            assert (root / "report" / link).resolve().is_file(), link


def test_every_figure_is_a_png_that_the_page_shows(root: Path) -> None:
    files = {path.stem: path for path in (root / "report" / "figures").iterdir()}
    assert set(files) == FIGURES
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    for name, path in files.items():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert f"figures/{name}.png" in page


def test_titles_say_the_finding(root: Path) -> None:
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    area = read_json(root / "summary.json")["equilibrium"]["control"]["area_out_of_equilibrium"]
    assert f"control {area:.1%}" in page
    assert "PHASE beats both baselines on 6 of 6 targets" in page
    assert "None" not in re.sub(r"<[^>]*>", " ", page)
    assert not re.search(r"\bnan\b", re.sub(r"<[^>]*>", " ", page))


def test_tables_hold_the_numbers_of_the_summary(root: Path) -> None:
    summary = read_json(root / "summary.json")
    skill = pd.read_csv(root / "report" / "tables" / "skill.csv")
    assert len(skill) == 2 * 3 * 6
    for row in skill.itertuples():
        expected = summary["skill"][row.split][row.model][row.target]
        assert row.r2 == pytest.approx(expected["r2"])
        assert row.n == expected["n"]
    verdict = pd.read_csv(root / "report" / "tables" / "verdict.csv")
    chosen = verdict.query(
        "run == 'control' and cells == 'all_cells' and criterion == 'drift_totsomc_pgc_per_yr'"
    )
    drift = summary["equilibrium"]["control"]["drift_totsomc_pgc_per_yr"]
    assert chosen["value"].item() == pytest.approx(drift)


def test_r2_per_column_averages_to_the_r2_of_the_summary(root: Path) -> None:
    table = pd.read_csv(root / "report" / "tables" / "r2_by_pft_and_layer.csv")
    summary = read_json(root / "summary.json")
    for target in ("deadstemc", "soil4c"):
        rows = table.query("split == 'block' and target == @target")
        expected = summary["skill"]["block"]["phase"][target]["r2"]
        assert rows["r2_phase"].mean() == pytest.approx(expected)
        assert set(rows.query("n < 20")["r2_phase"].dropna()) == set()


def test_the_same_products_give_the_same_page(products: RunProducts, root: Path, tmp_path: Path) -> None:
    # Beside the first, so that relative links stay the same.
    again = root / "again"
    try:
        write_report(root / "summary.json", products, again)
        first = root / "report"
        assert (again / "index.html").read_bytes() == (first / "index.html").read_bytes()
        for name in FIGURES:
            file = Path("figures") / f"{name}.png"
            assert (again / file).read_bytes() == (first / file).read_bytes()
    finally:
        shutil.rmtree(again, ignore_errors=True)


def test_no_page_is_written_when_a_product_lacks_a_variable(
    products: RunProducts, root: Path, tmp_path: Path
) -> None:
    wrong = RunProducts(**{**vars(products), "predictions": products.drift})
    with pytest.raises(InputError, match=r"drift\.nc: variable ood_score is missing"):
        write_report(root / "summary.json", wrong, tmp_path / "report")
    assert not (tmp_path / "report" / "index.html").exists()


def test_loaded_test_cells_know_patches_from_layers(products: RunProducts) -> None:
    shapes = {data.target: (data.patch, data.truth.shape[1]) for data in load_tests(products.tests["block"])}
    assert shapes["tlai"] == (True, 17)
    assert shapes["cwdc"] == (False, 10)


def test_cells_of_a_regular_grid_become_a_raster_with_its_gaps() -> None:
    lat, lon = np.array([10.0, 10.0, 20.0, 40.0]), np.array([350.0, 10.0, 350.0, 0.0])
    grid = CellMap.of(lat, lon)
    assert grid.axes is not None
    np.testing.assert_allclose(grid.axes[0], [10, 20, 30, 40])
    np.testing.assert_allclose(grid.axes[1], [-10, 0, 10])


def test_scattered_sites_are_drawn_as_points() -> None:
    rng = np.random.default_rng(1)
    grid = CellMap.of(rng.uniform(-60, 70, 50), rng.uniform(0, 360, 50))
    assert grid.axes is None
    assert grid.lon.min() >= -180.0
    assert grid.lon.max() <= 180.0


def test_the_coastline_lies_where_the_continents_are() -> None:
    from phase_lib.report.maps import _coast

    lon, lat, land = _coast()

    def percent(at_lat: float, at_lon: float) -> float:
        return float(land[np.abs(lat - at_lat).argmin(), np.abs(lon - at_lon).argmin()])

    for name, at_lat, at_lon, expected in (
        ("Amazon", -5.0, -62.0, 100.0),
        ("Sahara", 23.0, 10.0, 100.0),
        ("Siberia", 62.0, 100.0, 100.0),
        ("Pacific", 0.0, -140.0, 0.0),
        ("Atlantic", 35.0, -45.0, 0.0),
        ("Australia", -25.0, 134.0, 100.0),
    ):
        assert percent(at_lat, at_lon) == pytest.approx(expected, abs=5.0), name
