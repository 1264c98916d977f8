"""The HTML report: complete, self-contained, and true to its numbers."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import imread

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json
from phase_lib.dataset.split import PARTS
from phase_lib.report import figures, page
from phase_lib.report.maps import CellMap
from phase_lib.report.page import write_report
from phase_lib.report.products import RunProducts
from phase_lib.report.restart import read_injected
from phase_lib.report.summary import write_summary
from phase_lib.surrogate.skill import read_tests
from tests.helpers.restarts import DZ, edit, make_world
from tests.helpers.run_products import GlobalGrid, synthetic_run

GRID = GlobalGrid(lat=np.arange(-52.5, 75.0, 7.5), lon=np.arange(3.75, 360.0, 7.5))
#: Figures of a target that is not run here.
SURROGATE_FIGURES = {
    "skill_overview",
    "skill_of_all_variables",
    "scatter_random",
    "scatter_block",
    "r2_by_pft_and_layer_random",
    "r2_by_pft_and_layer_block",
    "out_of_distribution_map",
    "split_maps",
    "training_curves",
    "cost",
}
FIGURES = SURROGATE_FIGURES | {"stocks_over_time", "criteria_over_time", "drift_maps", "soil_carbon_maps"}


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.addresses.append(value)
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
    outside = [link for link in links.addresses if re.match(r"(?:[a-z]+:)?//|data:", link)]
    assert not outside
    for link in links.addresses:
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
    assert "PHASE beats input state and analogue on 6 of 6 variables in R²" in page
    assert "None" not in re.sub(r"<[^>]*>", " ", page)
    assert not re.search(r"\bnan\b", re.sub(r"<[^>]*>", " ", page))


def test_tables_hold_the_numbers_of_the_summary(root: Path) -> None:
    summary = read_json(root / "summary.json")
    skill = pd.read_csv(root / "report" / "tables" / "skill.csv")
    assert len(skill) == 2 * 4 * 7
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
    for target in ("deadstemc", "soil4c", "leafc"):
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
    wrong = replace(products, predictions=products.drift)
    with pytest.raises(InputError, match=r"drift\.nc: variable ood_score is missing"):
        write_report(root / "summary.json", wrong, tmp_path / "report")
    assert not (tmp_path / "report" / "index.html").exists()


def test_maps_of_the_whole_globe_begin_without_an_empty_band(tmp_path: Path) -> None:
    lat, lon = (axis.ravel() for axis in np.meshgrid(np.arange(-52.5, 85, 7.5), np.arange(-176.25, 180, 7.5)))
    grid, ones = CellMap.from_cells(lat, lon), np.ones(len(lat))
    stocks = {"totsomc_reference": 1e4 * ones, "totsomc_injected": 9e3 * ones, "area": ones, "landfrac": ones}
    part = np.where(lat > 0.0, 3, 1)
    drawings = (
        figures.soil_carbon_maps(grid, stocks),
        figures.split_maps(
            {"random": (grid, part), "block": (grid, part)}, PARTS, {"random": 1.0, "block": 2.0}
        ),
        figures.out_of_distribution_map(grid, ones, 0 * part, 2.0, part == 3),
    )
    for drawing in drawings:
        pixels = imread(drawing.save(tmp_path))[..., :3]
        drawn = np.flatnonzero((pixels < 0.9).any(axis=(1, 2)))
        assert drawn[0] <= 15, drawing.name
        assert drawn[-1] >= len(pixels) - 15, drawing.name
    assert [ax.get_title() for ax in drawings[0].figure.axes[:2]] == [
        "Reference: 10.0 kgC/m² on average",
        "Injected: more than the reference on 0% of the land",
    ]


def test_the_threshold_is_named_where_no_run_ends(products: RunProducts) -> None:
    drawing = figures.criteria_over_time(read_json(products.verdict))
    for ax in drawing.figure.axes:
        (label,) = ax.texts
        assert label.get_text() == "threshold"
        assert (label.xy[0], label.get_ha()) == (0.01, "left")


def test_the_skill_figure_shows_the_models_that_were_scored(root: Path) -> None:
    summary = read_json(root / "summary.json")

    def names(drawing: figures.Drawing) -> list[str]:
        return [text.get_text() for text in drawing.figure.legends[0].get_texts()]

    drawing = figures.skill_overview(summary, 30)
    assert names(drawing) == ["PHASE", "input state", "analogue", "PHASE, paper preset"]
    assert "30 AD years" in drawing.caption
    targets = [text.get_text() for text in drawing.figure.axes[0].get_yticklabels()]
    assert targets == ["deadcrootc", "deadstemc", "tlai", "soil3c", "soil4c", "cwdc"]
    without = {name: model for name, model in summary["models"].items() if name != "paper"}
    drawing = figures.skill_overview(summary | {"models": without}, 20)
    assert names(drawing) == ["PHASE", "input state", "analogue"]


def test_one_figure_has_every_predicted_variable_and_model(root: Path) -> None:
    summary = read_json(root / "summary.json")
    ax = figures.skill_of_all(summary).figure.axes[0]
    rows, columns = (
        [text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels())
    )
    assert set(rows) == set(summary["skill"]["block"]["phase"])
    assert columns == ["PHASE", "input state", "analogue", "PHASE,\npaper preset"]
    shown = ax.images[0].get_array()[rows.index("leafc"), columns.index("analogue")]
    assert shown == pytest.approx(summary["skill"]["random"]["analogue"]["leafc"]["r2"])


def test_the_score_map_spans_the_data_and_shows_their_distribution() -> None:
    grid = CellMap.from_cells(GRID.cell_lat, GRID.cell_lon)
    score = np.linspace(0.1, 2.4, GRID.cells)
    test = np.arange(GRID.cells) % 4 == 0
    drawing = figures.out_of_distribution_map(grid, score, score > 2.0, 2.0, test)
    ax, histogram = drawing.figure.axes[:2]
    assert ax.collections[0].get_clim() == pytest.approx((0.05, 1.2))
    above = int(np.sum(score > 2.0))
    assert ax.get_legend().get_texts()[0].get_text() == f"flagged ({above})"
    labels = [text.get_text() for text in histogram.get_legend().get_texts()]
    assert labels == [f"all cells ({GRID.cells})", f"blocked test cells ({test.sum()})", "threshold"]
    for steps in histogram.patches:
        assert steps.get_data().values.sum() == pytest.approx(100.0)
    assert f"{above} of {GRID.cells} cells" in drawing.title
    assert f"{int(np.sum(score[test] > 2.0))} of {test.sum()} blocked test cells" in drawing.title


def test_many_flagged_cells_are_coloured_and_few_get_a_ring() -> None:
    grid = CellMap.from_cells(GRID.cell_lat, GRID.cell_lon)
    score, none = np.linspace(0.1, 2.4, GRID.cells), np.zeros(GRID.cells, dtype=bool)
    few = figures.out_of_distribution_map(grid, score, score > 2.0, 2.0, none).figure.axes[0]
    assert len(few.lines) == 1
    assert len(few.lines[0].get_xdata()) == np.sum(score > 2.0)
    many = figures.out_of_distribution_map(grid, score, score > 0.2, 0.2, none).figure.axes[0]
    assert not many.lines
    drawn = many.collections[0]
    above = np.ma.compressed(drawn.get_array()) > drawn.norm.vmax
    assert above.sum() == np.sum(score > 0.2) > 200
    all_flagged = figures.out_of_distribution_map(grid, score, score > 0.0, 0.05, none).figure.axes[0]
    drawn = all_flagged.collections[0]
    assert np.all(np.ma.compressed(drawn.get_array()) > drawn.norm.vmax)
    assert drawn.norm.vmin < drawn.norm.vmax


def test_dead_wood_is_said_to_be_scored_on_herbaceous_patches_too(products: RunProducts, root: Path) -> None:
    with netCDF4.Dataset(products.tests["block"][0]) as nc:
        mask = nc["covered"][:] == 1
    # PFTs 1 to 8 are trees, 9 to 11 shrubs.
    expected = f"{mask[:, 1:12].sum()} of {mask.sum()} (deadstemc)"
    assert expected in (root / "report" / "index.html").read_text(encoding="utf-8")
    assert figures.dead_wood_note([read_tests(products.tests["block"]).variable("cwdc_vr")]) == ""


def test_cost_bars_that_overlap_are_said_to(root: Path) -> None:
    cost = read_json(root / "summary.json")["cost"]
    drawing = figures.cost_bars(cost | {"ratio_core_seconds": 0.5}, cost["core_seconds_by_role"])
    assert "2 times more" in drawing.title
    assert "overlap" in drawing.caption


def test_the_page_says_what_is_no_test_and_how_deep_the_carbon_lies(root: Path) -> None:
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    # One column per run and table: all cells, and the blocked test cells.
    assert page.count("prescribed, not a test") == 8
    # The same carbon in every layer lies as deep as the layers are thick.
    assert f"{DZ[8:].sum() / DZ.sum():.0%} of the injected soil organic carbon" in page
    assert f"<td>3</td><td>{2 * GRID.cells} covered patches</td>" in page


def test_the_page_says_what_the_start_of_predictions_misses(root: Path) -> None:
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    assert "Predictions start from the 20-year state" in page
    assert "(the history has no T_SCALAR and 2 more)" in page


def test_the_page_begins_with_the_years_until_the_verdict_holds(root: Path) -> None:
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    first = page.split('<ul class="answer">')[1].split("</li>")[0]
    assert "quilibrium" in first
    assert "model years after the cold start, corrected once" in first
    # The correction of the injected run, the response of nitrogen at it, and the audit after it.
    assert "<td>60</td><td>0.0100</td><td>0.0010</td><td>5.0</td><td>0, 2</td>" in page


def test_without_the_restart_the_page_speaks_of_deep_carbon_in_words(
    products: RunProducts, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "draw", lambda *_: {})
    absent = replace(products, restart=tmp_path / "restart.nc")
    html = write_report(root / "summary.json", absent, tmp_path / "report").read_text(encoding="utf-8")
    assert "A large share of the soil organic carbon lies in layers 9 and 10, below 1.4 m" in html
    assert "covered patches" not in html


def test_patches_and_deep_carbon_of_a_restart_in_any_order(tmp_path: Path) -> None:
    world = make_world(tmp_path, cells=4, crop=True)
    area, landfrac = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.5, 0.8, 0.3])
    for pool in ("soil1", "soil2", "soil4"):
        edit(world.restart, f"{pool}c_vr", (world.column, slice(None)), 0.0)
    edit(world.restart, "soil3c_vr", (world.column, slice(None)), np.arange(1.0, 5.0)[:, None] * np.ones(15))
    edit(world.restart, "soil3c_vr", (world.column[0], slice(8, 10)), 7.0)
    with netCDF4.Dataset(world.restart, "r+") as nc:
        cell = np.asarray(nc["pfts1d_gridcell_index"][:]) - 1
        nc["totvegc"][:] = 1000.0 * cell
    order = np.array([2, 0, 3, 1])
    state = read_injected(world.restart, world.lat[order], world.lon[order], (area * landfrac)[order], step=3)
    with netCDF4.Dataset(world.restart) as nc:
        weight = area * landfrac * np.asarray(nc["cols1d_wtxy"][:])[world.column]
    density = np.repeat(np.arange(1.0, 5.0)[:, None], 10, axis=1)
    density[0, 8:] = 7.0
    stock = weight @ (density * DZ)
    assert state.deep_share == pytest.approx(stock[8:].sum() / stock.sum(), rel=1e-5)
    np.testing.assert_allclose(state.soil_carbon, density @ DZ / 1000.0, rtol=1e-5)
    np.testing.assert_allclose(state.vegetation_carbon, np.arange(4) * world.cover.sum(axis=1))
    assert state.patches == np.count_nonzero(world.cover[:, 1:])
    assert state.total("leafc kept: dormant") == state.patches
    assert state.total("litr1n_vr") == 40


def test_a_restart_without_soil_carbon_has_no_deep_share(tmp_path: Path) -> None:
    world = make_world(tmp_path, cells=4)
    for pool in ("soil1", "soil2", "soil3", "soil4"):
        edit(world.restart, f"{pool}c_vr", (slice(None), slice(None)), 0.0)
    assert read_injected(world.restart, world.lat, world.lon, np.ones(4)).deep_share is None


def test_cells_of_a_regular_grid_become_a_raster_with_its_gaps() -> None:
    lat, lon = np.array([10.0, 10.0, 20.0, 40.0]), np.array([350.0, 10.0, 350.0, 0.0])
    (piece,) = CellMap.from_cells(lat, lon).pieces
    assert piece.axes is not None
    np.testing.assert_allclose(piece.axes[0], [10, 20, 30, 40])
    np.testing.assert_allclose(piece.axes[1], [-10, 0, 10])


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (np.random.default_rng(1).uniform(-60, 70, 50), np.random.default_rng(2).uniform(0, 360, 50)),
        # On a regular grid by accident, but apart.
        (np.array([10.0, 20.0, 40.0]), np.array([350.0, 20.0, 0.0])),
        (np.array([45.0]), np.array([5.0])),
    ],
)
def test_sites_are_drawn_as_dots_with_land_around_them(lat: np.ndarray, lon: np.ndarray) -> None:
    grid = CellMap.from_cells(lat, lon)
    (piece,) = grid.pieces
    assert piece.axes is None
    assert grid.lon.min() >= -180.0
    assert grid.lon.max() <= 180.0
    west, east, south, north = grid.extent
    assert east - west >= 20.0
    assert north - south >= 20.0
    ax = Figure().subplots()
    drawn = grid.draw(ax, np.arange(float(len(lat))), cmap="viridis", norm=Normalize(0, 50))
    np.testing.assert_allclose(drawn.get_offsets(), np.column_stack([grid.lon, grid.lat]))


def test_too_many_cells_for_dots_are_averaged_in_boxes() -> None:
    x, y = np.meshgrid(np.arange(200.0), np.arange(150.0))
    lat, lon = 40.0 + 0.05 * (x + 0.5 * y).ravel(), 5.0 + 0.05 * (y - 0.5 * x).ravel()
    grid = CellMap.from_cells(lat, lon)
    (piece,) = grid.pieces
    assert piece.axes is not None
    values = np.random.default_rng(0).random(len(lat))
    raster = grid.draw(Figure().subplots(), values, cmap="viridis", norm=Normalize(0, 1)).get_array()
    step = piece.axes[0][1] - piece.axes[0][0]
    box = 10_000 * np.round((grid.lat - grid.lat.min()) / step) + np.round((grid.lon - grid.lon.min()) / step)
    means = [values[box == one].mean() for one in np.unique(box)]
    np.testing.assert_allclose(np.sort(raster.compressed()), np.sort(means))
    codes = grid.draw(
        Figure().subplots(), np.round(values), cmap="viridis", norm=Normalize(0, 1), codes=True
    ).get_array()
    assert set(np.unique(codes.compressed())) == {0.0, 1.0}


def test_two_grids_on_one_map_stay_rasters_of_their_own() -> None:
    coarse = [axis.ravel() for axis in np.meshgrid([10.0, 15.0, 20.0], [0.0, 5.0])]
    fine = [axis.ravel() for axis in np.meshgrid([10.1, 10.6, 11.1], [40.0, 40.5])]
    lat, lon = (np.append(one, other) for one, other in zip(coarse, fine, strict=True))
    grid = CellMap.from_cells(lat, lon, np.repeat([0, 1], 6))
    steps = [piece.axes[0][1] - piece.axes[0][0] for piece in grid.pieces]
    assert steps == pytest.approx([5.0, 0.5])
    assert grid.extent[1] > 40.0


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
