"""The HTML report: one page, its figures and tables beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, require_file, sha256_file, writing
from phase_lib.base.progress import LOGGER
from phase_lib.config.root import WorkflowConfig
from phase_lib.dataset.loading import CellIndex, read_cells
from phase_lib.dataset.split import PARTS
from phase_lib.elm.constants import SPINUP_AD
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_attribute
from phase_lib.elm.products import open_product
from phase_lib.elm.variables import HEADLINE
from phase_lib.equilibrium.verdict import ALL_CELLS, TEST_CELLS
from phase_lib.report import figures
from phase_lib.report.closing import closing_page, nothing_predicted, wins_sentence
from phase_lib.report.cost import ROLES, UNITS, compared, hours_text
from phase_lib.report.experiments import describe_changes, repeats_skill
from phase_lib.report.figures import Drawing
from phase_lib.report.maps import CellMap
from phase_lib.report.products import OOD_STATES, SPLITS, RunFacts, RunProducts
from phase_lib.report.restart import DEEP_TOP, InjectedState, read_injected
from phase_lib.report.restarts import read_restarts
from phase_lib.report.stabilisation import audit_sentence, years_sentence
from phase_lib.report.summary import write_summary
from phase_lib.report.tables import report_tables, write_tables
from phase_lib.surrogate.skill import LEAST_VALUES, TestCells, read_tests

_METRICS = {
    "r2": "R²",
    "r2_pooled": "pooled R²",
    "nrmse": "NRMSE",
    "median_abs_log_ratio": "median |ln ratio|",
}
#: Metrics of which less is better.
_ERRORS = ("nrmse", "median_abs_log_ratio")
#: Flagged cells that the page lists; the table has all of them.
_MOST_FLAGGED = 50
_SUBSETS = {ALL_CELLS: "All cells", TEST_CELLS: "Blocked test cells alone"}


def write_run_report(
    config: WorkflowConfig, products: RunProducts, cores: int, summary: Path, output_dir: Path
) -> None:
    """Writes the summary of a run (`summary.json`) and its report; `cores` are those that the workflow used.

    Raises:
        InputError: a product is missing or incomplete.
    """
    with writing(summary) as temporary:
        write_summary(products, RunFacts.from_config(config, cores), temporary)
        write_report(temporary, products, output_dir)


def write_report(summary: str | Path, products: RunProducts, output_dir: str | Path) -> Path:
    """Writes `figures/*.png`, `tables/*.csv`, `closing.txt` and, last, `index.html`; returns the page's path.

    Raises:
        InputError: a product is missing or incomplete.
    """
    directory = Path(output_dir)
    content, diff, index = read_json(summary), read_json(products.diff), read_cells(products.dataset)
    verdict = None if products.verdict is None else read_json(products.verdict)
    tests = {split: read_tests(paths) for split, paths in products.tests.items()}
    names = [HEADLINE[name] for name in content["headline"]]
    headline = {split: list(test.variables(names)) for split, test in tests.items()}
    curves = {split: _read_curve(path) for split, path in products.training.items()}
    injected = _injected(products, index, content["target"]["domain"])
    drawings = draw(content, verdict, products, index, headline, injected, curves)
    for drawing in drawings.values():
        LOGGER.info("drawing %s", drawing.name)
        drawing.save(directory / "figures")
    frames = report_tables(content, verdict, diff, tests, products.predictions)
    write_tables(directory / "tables", frames)
    _write(directory / "closing.txt", closing_page(content) + "\n")
    inputs = [products.predictions, *(test.path for test in tests.values())]
    inputs += [] if products.drift is None else [products.drift]
    html = render(
        summary=content,
        verdict=verdict,
        diff=diff,
        audit=read_json(products.audit),
        cleaning=read_json(products.dataset / "cleaning.json"),
        injected=injected,
        dead_wood={split: figures.dead_wood_note(data) for split, data in headline.items()},
        drawings=drawings,
        tables=list(frames),
        flagged=frames["flagged_cells"].head(_MOST_FLAGGED).to_dict("records"),
        cost=frames["cost"].to_dict("records"),
        restarts=[] if products.restarts is None else read_restarts(products.restarts),
        inputs={path.name: sha256_file(path) for path in inputs},
    )
    _write(directory / "index.html", html)
    return directory / "index.html"


def _write(path: Path, text: str) -> None:
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _injected(products: RunProducts, index: CellIndex, target: str) -> InjectedState | None:
    """Numbers of the injected restart; None where this large file is not on the machine."""
    if not products.restart.is_file():
        return None
    inside = index.of_domain(target)
    area = (index.area_km2 * index.landfrac)[inside]
    return read_injected(products.restart, index.lat[inside], index.lon[inside], area)


def draw(
    summary: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
    products: RunProducts,
    index: CellIndex,
    tests: Mapping[str, list[TestCells]],
    injected: InjectedState | None,
    curves: Mapping[str, pd.DataFrame],
) -> dict[str, Drawing]:
    """All figures by name."""
    drawings = _verdict_drawings(summary, verdict, products)
    if verdict is None and injected is not None:
        grid = CellMap.from_cells(injected.lat, injected.lon)
        drawings.append(figures.restart_maps(grid, injected))
    years = summary["cost"]["integration_years"]["before_injection"]
    drawings += [figures.skill_overview(summary, years), figures.skill_of_all(summary)]
    for split, data in tests.items():
        models = summary["models"]
        drawings += [figures.scatter(data, split, models), figures.r2_by_pft_and_layer(data, split, models)]
    drawings += [_out_of_distribution(products.predictions), _splits(products.splits, index)]
    if curves:
        drawings.append(figures.training_curves(curves))
    if summary["experiments"] and not repeats_skill(summary):
        drawings.append(figures.experiments_overview(summary["experiments"], summary["headline"]))
    if summary["cost"]["core_seconds"]:
        drawings.append(figures.cost_bars(summary["cost"], ROLES))
    return {drawing.name: drawing for drawing in drawings}


def _read_curve(path: Path) -> pd.DataFrame:
    """Losses of a training by epoch. Raises an InputError where the table is damaged."""
    names = ["epoch", "train_loss", "validation_loss"]
    try:
        table = pd.read_csv(require_file(path))[names].astype(float)
    except (ValueError, KeyError) as error:
        what, expected = f"is no table of a training ({error})", f"columns {', '.join(names)}"
        raise InputError(path, what, expected=expected, remedy="train again") from error
    if table.empty or not np.isfinite(table.to_numpy()).all():
        what = "is cut off or has an epoch without a number"
        raise InputError(path, what, expected="whole rows", remedy="train again")
    return table


def _verdict_drawings(
    summary: Mapping[str, Any], verdict: Mapping[str, Any] | None, products: RunProducts
) -> list[Drawing]:
    if verdict is None or products.drift is None:
        return []
    cells = _columns(products.drift)
    grid = CellMap.from_cells(cells["lat"], cells["lon"])
    part, thresholds = summary["stabilisation"], verdict["thresholds"]
    first = [figures.area_out_over_years(part, thresholds)] if part["area_out"] else []
    return [
        *first,
        figures.stocks_over_time(verdict),
        figures.criteria_over_time(verdict),
        figures.drift_maps(grid, cells, verdict["thresholds"]["cell_drift_gc_m2_yr"]),
        figures.soil_carbon_maps(grid, cells),
    ]


def _columns(path: Path) -> dict[str, np.ndarray]:
    """All variables along `gridcell` alone."""
    with open_product(path) as dataset:
        columns = {str(n): v for n, v in dataset.variables.items() if v.dims == ("gridcell",)}
        return {name: values.to_numpy() for name, values in columns.items()}


def _out_of_distribution(predictions: Path) -> Drawing:
    cells = _columns(predictions)
    for name in ("lat", "lon", "ood_score", "ood_flag"):
        if name not in cells:
            raise InputError(predictions, f"variable {name} is missing", expected="dims (gridcell)")
    with open_product(predictions, ()) as dataset:
        threshold = float(get_attribute(predictions, dataset, "ood_threshold"))
    flag = cells["ood_flag"]
    # There are no test cells without a split, nor in a target that is not trained on.
    part = cells.get("split_part", np.zeros_like(flag))
    grid = CellMap.from_cells(cells["lat"], cells["lon"])
    return figures.out_of_distribution_map(grid, cells["ood_score"], flag, threshold, part == PARTS["test"])


def _splits(paths: Mapping[str, Path], index: CellIndex) -> Drawing:
    loaded: dict[str, tuple[CellMap, np.ndarray]] = {}
    distance, train, test = {}, PARTS["train"], PARTS["test"]
    # Cells of domains that are not trained on lie on other grids and in no part.
    shown = np.isin(index.domain, index.domain[index.trainable])
    for split, path in paths.items():
        cells = _columns(path)
        lat, lon, part = (cells[name][shown] for name in ("lat", "lon", "part"))
        loaded[split] = (CellMap.from_cells(lat, lon, index.domain[shown]), part)
        places = (lat[part == test], lon[part == test], lat[part == train], lon[part == train])
        _, km = match_cells(*places, file=path, limit_km=np.inf, what="training cells")
        distance[split] = float(np.median(km))
    return figures.split_maps(loaded, PARTS, distance)


def render(**context: Any) -> str:
    """The page's HTML; the context is what `write_report` gives."""
    environment = Environment(
        loader=PackageLoader("phase_lib.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "hours": hours_text}
    return environment.get_template("report.html").render(
        **context,
        headline=_headline(context["summary"], context["verdict"]),
        splits=SPLITS,
        metrics=_METRICS,
        subsets=_SUBSETS,
        best=_best,
        repeats_skill=repeats_skill(context["summary"]),
        describe_changes=describe_changes,
        roles=ROLES,
        units=UNITS,
        least_values=LEAST_VALUES,
        compared=compared,
        deep_top=DEEP_TOP,
        ood_states=OOD_STATES,
    )


def _number(value: Any, form: str = ".3g") -> str:
    """A number for a table; a dash where it is absent."""
    return "–" if value is None or value != value else format(value, form)


def _best(models: Mapping[str, Any], target: str, metric: str) -> str | None:
    """The best model for a variable, or None where none has a value."""
    values = {name: targets[target][metric] for name, targets in models.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return (min if metric in _ERRORS else max)(known, key=lambda name: known[name], default=None)


def _headline(summary: Mapping[str, Any], verdict: Mapping[str, Any] | None) -> list[str]:
    """The answer, in sentences."""
    sentences = _restart_sentences(summary) if verdict is None else _run_sentences(summary, verdict)
    if "block" in summary["skill"]:
        where = "" if verdict is not None else f" of {' and '.join(summary['target']['trained_on'])}"
        if sentence := wins_sentence(summary, "block"):
            sentences.append(f"On blocked test cells{where} {sentence}.")
    return sentences


def _restart_sentences(summary: Mapping[str, Any]) -> list[str]:
    target, restart, stocks = summary["target"], summary["restart"], summary["stocks"]
    cells, flagged = summary["domain"]["cells"], restart["flagged_cells"]
    space = "AD" if target["base"]["spinup_state"] == SPINUP_AD else "normal mode"
    sentences = [
        f"The restart of {target['domain']} is made and its audit found {restart['audit_errors']} errors. It "
        "has not been run: the history of such a run will show whether the land model drifts from it.",
        f"{flagged} of {cells} cells are flagged and hold {OOD_STATES[restart['ood_action']]}.",
    ]
    if nothing_predicted(summary):
        kept = f"All {cells} cells are flagged and hold {OOD_STATES['keep']}"
        sentences[1] = f"{kept}: this restart contains nothing of the surrogate."
    base, injected = (stocks[which]["totsomc_pgc"] for which in ("base", "injected"))
    if base is not None and injected is not None:
        sentences.append(
            f"Soil carbon is {base:.3g} PgC in the base ({space}) and {injected:.3g} PgC here (normal mode)."
        )
    return sentences


def _run_sentences(summary: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[str]:
    equilibrium, stocks = summary["equilibrium"], summary["stocks"]
    injected = equilibrium["injected"]
    ran = "ran" if summary["restart"]["stable"] else "did not run"
    sentences = [
        years_sentence(summary),
        f"The injected restart {ran} {summary['restart']['years_run']:.0f} years in normal mode; its audit "
        f"found {summary['restart']['audit_errors']} errors.",
        *filter(None, [audit_sentence(summary)]),
        _verdict_sentence(verdict),
    ]
    if "control" in equilibrium:
        control = equilibrium["control"]
        sentences.append(
            f"Soil carbon drifts by {injected['drift_totsomc_pgc_per_yr']:+.3f} PgC/yr "
            f"(control {control['drift_totsomc_pgc_per_yr']:+.3f}), vegetation carbon by "
            f"{injected['drift_totvegc_pgc_per_yr']:+.3f} "
            f"(control {control['drift_totvegc_pgc_per_yr']:+.3f}); "
            f"{injected['area_out_of_equilibrium']:.1%} of the land is out of equilibrium "
            f"(control {control['area_out_of_equilibrium']:.1%})."
        )
    if "reference" in stocks:
        off = stocks["injected"]["totsomc_pgc"] / stocks["reference"]["totsomc_pgc"] - 1.0
        sentences.append(
            f"Soil carbon ends at {stocks['injected']['totsomc_pgc']:.0f} PgC, {off:+.1%} of the reference's "
            f"{stocks['reference']['totsomc_pgc']:.0f}."
        )
    return sentences


def _verdict_sentence(verdict: Mapping[str, Any]) -> str:
    parts = []
    for run, subsets in verdict["runs"].items():
        numbers = subsets[ALL_CELLS]
        tested = [criterion for criterion in numbers["criteria"].values() if not criterion["prescribed"]]
        failed = sum(not criterion["holds"] for criterion in tested)
        state = "is in equilibrium" if not failed else f"fails {failed} of {len(tested)} criteria"
        parts.append(f"the {run} run {state}")
    sentence = ", ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."
