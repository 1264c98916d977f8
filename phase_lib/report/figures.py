"""The figures of the report: each function takes loaded data and returns a drawing with its finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, Normalize, SymLogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from PIL import Image

from phase_lib.base.files import writing
from phase_lib.config.experiments import OWN
from phase_lib.elm.constants import PFT_NAMES, WOODY_PFTS
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.report.closing import wins_sentence
from phase_lib.report.cost import compared
from phase_lib.report.maps import CellMap
from phase_lib.report.products import SPLITS
from phase_lib.report.restart import InjectedState
from phase_lib.surrogate.skill import LEAST_VALUES, TestCells

# Okabe and Ito's palette, distinct for every common colour vision.
BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7f7f7f"
RUN_STYLE: dict[str, dict[str, Any]] = {
    "injected": {"color": BLUE, "marker": "o"},
    "control": {"color": VERMILLION, "marker": "s"},
    "uncorrected": {"color": ORANGE, "marker": "D"},
    "no_surrogate": {"color": GREEN, "marker": "v"},
    "reference": {"color": "black", "marker": "^", "linestyle": "--"},
}
#: Of models in the order of the summary; further models begin again with the first style.
_MODEL_STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o"},
    {"color": VERMILLION, "marker": "s"},
    {"color": GREEN, "marker": "^"},
    {"color": ORANGE, "marker": "D"},
    {"color": "#CC79A7", "marker": "v"},
    {"color": "#56B4E9", "marker": "P"},
    {"color": GREY, "marker": "X"},
)
PART_COLOURS = {"excluded": "#d9d9d9", "train": "#56B4E9", "validation": ORANGE, "test": "#5e3c99"}
_DPI = 120
#: White pixels around a figure.
_BORDER = 10
#: Colour bars below maps, which are wide and low.
_BAR: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.7, "aspect": 35, "pad": 0.02}
#: Points in a scatter plot; more would hide each other and enlarge the file.
_MOST_POINTS = 20000
#: Most flagged cells that are drawn with a ring each.
_MOST_RINGS = 200
#: Score over threshold at which a flagged cell without a score, or with one at the threshold, is drawn.
_BEYOND = 1.001
#: Samples above which a time series is drawn without markers.
_MOST_MARKERS = 30


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: file name without suffix, the finding in one sentence, and what is drawn."""

    name: str
    title: str
    caption: str
    figure: Figure

    def save(self, directory: Path) -> Path:
        """Writes `<name>.png`."""
        path = directory / f"{self.name}.png"
        raw = BytesIO()
        self.figure.savefig(raw, format="raw")
        width, height = self.figure.canvas.get_width_height()
        pixels = np.frombuffer(raw.getvalue(), dtype=np.uint8).reshape(height, width, 4)
        with writing(path) as temporary:
            # Maps keep their shape; the empty margin is cut off. `bbox_inches="tight"` would draw once more.
            _without_margin(pixels).save(temporary, format="png", dpi=(_DPI, _DPI))
        return path


def _without_margin(pixels: np.ndarray) -> Image.Image:
    """An image (height, width, 4) without what is white around it, but for a narrow border."""
    drawn = (pixels[..., :3] != 255).any(axis=2)
    ranges = [np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0)]
    cut = tuple(slice(max(0, marked[0] - _BORDER), marked[-1] + 1 + _BORDER) for marked in ranges)
    return Image.fromarray(pixels[cut][..., :3])


def _figure(
    rows: int,
    columns: int,
    width: float,
    height: float,
    *,
    layout: Literal["constrained", "compressed"] = "constrained",
    **options: Any,
) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    return figure, axes


def _heat_map(ax: Axes, table: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Any:
    """R2 as colours and numbers (row, column), blank where NaN; returns what a colour bar needs."""
    drawn = ax.imshow(table, cmap="viridis", norm=Normalize(0.0, 1.0), aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            text = "<−9" if value < -9.0 else f"{value:.2f}"
            colour = "white" if value < 0.6 else "black"
            ax.text(j, i, text, ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows, fontsize=7)
    return drawn


def stocks_over_time(verdict: Mapping[str, Any]) -> Drawing:
    """Soil and vegetation carbon of the runs, the last years of each run aligned."""
    runs = {name: subsets["all_cells"] for name, subsets in verdict["runs"].items()}
    span = runs["injected"]["years"]
    figure, axes = _figure(1, 2, 10.0, 3.6)
    panels = (("TOTSOMC", "soil carbon"), ("TOTVEGC", "vegetation carbon"))
    for ax, (field, label) in zip(axes[0], panels, strict=True):
        for name, run in runs.items():
            years = np.asarray(run["series"]["run_year"]) - (run["years"] - span)
            shown = years >= 0.0
            style = dict(RUN_STYLE[name])
            if shown.sum() > _MOST_MARKERS:
                style.pop("marker")
            ax.plot(years[shown], np.asarray(run["series"][field])[shown], label=name, ms=4, lw=1.4, **style)
        ax.set_xlabel(f"year of the last {span:.0f} years of each run")
        ax.set_ylabel(f"{label}, {field} (PgC)")
        ax.set_xlim(0.0, span)
        ax.grid(alpha=0.25)
    axes[0, 0].legend(frameon=False, fontsize=8)
    injected = runs["injected"]["stocks"]["totsomc_pgc"]
    if "reference" in runs:
        off = 100.0 * (injected / runs["reference"]["stocks"]["totsomc_pgc"] - 1.0)
        side = "above" if off >= 0.0 else "below"
        title = f"The injected run ends {abs(off):.1f} % {side} the reference's soil carbon"
    else:
        title = f"The injected run ends with {injected:.0f} PgC in the soil"
    caption = (
        "Totals over all land cells. The last years of each run, the reference's too, are drawn. "
        "Each point is one sample of the history: a year, or a forcing cycle where only those were kept."
    )
    return Drawing("stocks_over_time", title, caption, figure)


def area_out_over_years(stabilisation: Mapping[str, Any], thresholds: Mapping[str, Any]) -> Drawing:
    """Share of the land that gains or loses carbon, of all runs against model years."""
    figure, axes = _figure(1, 1, 10.0, 4.0)
    ax, limit = axes[0, 0], thresholds["area_out_of_equilibrium"]
    for run, curve in stabilisation["area_out"].items():
        share = 100.0 * np.asarray(curve["share"])
        ax.plot(curve["model_year"], share, label=run, ms=4, lw=1.4, **RUN_STYLE[run])
    for correction in stabilisation["corrections"].get("injected", []):
        ax.axvline(correction["model_year"], color=BLUE, lw=0.8, ls=":")
    ax.axhline(100.0 * limit, color=GREY, lw=1.0, ls=":")
    words: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": 8, "color": GREY}
    ax.annotate("threshold", (0.005, 100.0 * limit), xycoords=("axes fraction", "data"), **words)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("model years since the cold start")
    ax.set_ylabel("land that gains or loses carbon (%)")
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, fontsize=8)
    ends = ", ".join(f"{run} {curve['share'][-1]:.1%}" for run, curve in stabilisation["area_out"].items())
    caption = (
        "Share of the land whose NBP, mean of a forcing cycle, is beyond "
        f"{thresholds['cell_drift_gc_m2_yr']:g} gC/m²/yr, at the end of each cycle in normal mode. Dotted "
        "lines: corrections of the injected run. The verdict compares two cycles, so its share differs."
    )
    return Drawing(
        "area_out_over_years", f"Land that gains or loses carbon at the end: {ends}", caption, figure
    )


def criteria_over_time(verdict: Mapping[str, Any]) -> Drawing:
    """Drift and area out of equilibrium, cycle by cycle."""
    runs = {name: subsets["all_cells"] for name, subsets in verdict["runs"].items()}
    figure, axes = _figure(1, 2, 10.0, 3.6)
    panels = (
        ("drift_totecosysc_pgc_per_yr", "|drift| of ecosystem carbon (PgC/yr)", 1.0, "log"),
        ("area_out_of_equilibrium", "land area out of equilibrium (%)", 100.0, "linear"),
    )
    for ax, (name, label, factor, scale) in zip(axes[0], panels, strict=True):
        for run, numbers in runs.items():
            criterion = numbers["criteria"][name]
            values = factor * np.abs(criterion["by_cycle"])
            end = numbers["years"] - numbers["forcing_years"] * np.arange(len(values))[::-1]
            style = RUN_STYLE[run]
            ax.plot(end, values, label=f"{run} ({numbers['years']:.0f} years)", ms=4, lw=1.4, **style)
        threshold = factor * runs["injected"]["criteria"][name]["threshold"]
        ax.axhline(threshold, color=GREY, lw=1.0, ls=":")
        words: dict[str, Any] = {"ha": "left", "va": "bottom", "fontsize": 8, "color": GREY}
        ax.annotate("threshold", (0.01, threshold), xycoords=("axes fraction", "data"), **words)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yscale(scale)
        ax.set_xlabel("years since the run began in normal mode")
        ax.set_ylabel(label)
        ax.grid(alpha=0.25, which="both")
    axes[0, 0].legend(frameon=False, fontsize=8)
    area = {run: numbers["criteria"]["area_out_of_equilibrium"]["value"] for run, numbers in runs.items()}
    title = "Out of equilibrium at the end: " + ", ".join(f"{run} {value:.1%}" for run, value in area.items())
    caption = (
        "Difference of two successive forcing cycles per year, at the end of the later one. A cell is out of "
        f"equilibrium when its ecosystem carbon drifts by more than "
        f"{verdict['thresholds']['cell_drift_gc_m2_yr']:g} gC/m²/yr."
    )
    return Drawing("criteria_over_time", title, caption, figure)


def _styles(models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(zip(models, cycle(_MODEL_STYLES), strict=False))


def skill_overview(summary: Mapping[str, Any], input_years: int) -> Drawing:
    """R2 and log-ratio error of the models on both splits, for the headline variables of `summary.json`."""
    skill, models, targets = summary["skill"], summary["models"], summary["headline"]
    splits, styles = [split for split in SPLITS if split in skill], _styles(models)
    apart = 0.6 / len(models)
    height = (1.3 + 0.3 * max(4, len(models))) * len(splits)
    figure, axes = _figure(len(splits), 2, 10.0, 0.6 + height, sharey=True)
    place = np.arange(len(targets))[::-1]
    for row, split in zip(axes, splits, strict=True):
        for ax, metric in zip(row, ("r2", "median_abs_log_ratio"), strict=True):
            for i, model in enumerate(models):
                if model not in skill[split]:
                    continue
                values = _values(skill[split][model], targets, metric)
                # The table has the numbers below -1.
                shown = np.clip(values, -1.0, None) if metric == "r2" else values
                level = place + apart * (0.5 * (len(models) - 1) - i)
                ax.plot(shown, level, ls="", ms=6, label=models[model]["label"], **styles[model])
            ax.set_yticks(place, targets)
            ax.grid(alpha=0.25, axis="x")
        row[0].axvline(0.0, color=GREY, lw=0.8)
        row[0].set_xlim(-1.1, 1.05)
        row[0].set_ylabel(f"{SPLITS[split]}, test cells")
        row[1].set_xlim(left=0.0)
    axes[-1, 0].set_xlabel("mean R² per PFT or layer (1 is perfect; below −1 drawn at −1)")
    axes[-1, 1].set_xlabel("median |ln(prediction / truth)| (0 is perfect)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    where: dict[str, Any] = {"loc": "outside upper center", "ncols": min(5, len(labels))}
    figure.legend(handles, labels, frameon=False, fontsize=9, **where)
    split = "block" if "block" in skill else splits[0]
    title = wins_sentence(summary, split) or f"{models[OWN]['label']} alone"
    caption = (
        f"Test cells only. The input state is the state after {input_years} AD years, taken to normal mode; "
        "the analogue is the nearest training cell in climate, soil and vegetation space. All networks were "
        "trained on the same cells."
    )
    return Drawing("skill_overview", f"{title}, {SPLITS[split]}", caption, figure)


def _values(skill: Mapping[str, Any], targets: Sequence[str], metric: str) -> np.ndarray:
    """A metric of one model (target), NaN where it is absent."""
    values = [skill[target][metric] for target in targets]
    return np.array([np.nan if value is None else value for value in values])


def skill_of_all(summary: Mapping[str, Any]) -> Drawing:
    """R2 of each model for all predicted variables, a row each, from the content of `summary.json`."""
    skill, models = summary["skill"], summary["models"]
    splits = [split for split in SPLITS if split in skill]
    targets = list(skill[splits[0]][OWN])
    figure, axes = _figure(1, len(splits), 10.0, 1.4 + 0.21 * len(targets), sharey=True)
    drawn: Any = None
    for ax, split in zip(axes[0], splits, strict=True):
        shown = [model for model in models if model in skill[split]]
        table = np.array([_values(skill[split][model], targets, "r2") for model in shown]).T
        labels = [models[model]["label"].replace(", ", ",\n") for model in shown]
        drawn = _heat_map(ax, table, targets, labels)
        ax.tick_params(axis="x", labelsize=7)
        ax.set_title(SPLITS[split], fontsize=9)
    bar = figure.colorbar(drawn, ax=axes[0].tolist(), shrink=0.5, aspect=30)
    bar.set_label("mean R² per PFT or layer (below 0 in the colour of 0)", fontsize=8)
    split = splits[-1]
    r2 = _values(skill[split][OWN], targets, "r2")
    title = "Test values are too few for an R²"
    if np.isfinite(r2).any():
        lowest, good = int(np.nanargmin(r2)), int(np.sum(r2 >= 0.8))
        title = (
            f"R² of {models[OWN]['label']} is at least 0.8 for {good} of {len(targets)} variables, "
            f"{SPLITS[split]}; lowest: {targets[lowest]} ({r2[lowest]:.2f})"
        )
    caption = "All predicted variables on test cells; blank where values are too few or do not vary."
    return Drawing("skill_of_all_variables", title, caption, figure)


def scatter(cells: Sequence[TestCells], split: str, models: Mapping[str, Any]) -> Drawing:
    """Truth against prediction of the run's model and the first baseline; `models` are of the summary."""
    styles, rows = _styles(models), -(-len(cells) // 3)
    baseline = [name for name, model in models.items() if not model["trained"]][:1]
    figure, axes = _figure(rows, 3, 10.0, 3.4 * rows)
    rng = np.random.default_rng(0)
    pooled = {}
    for ax, data in zip(axes.flat, cells, strict=False):
        mask = data.mask & (data.truth > 0.0)
        truth = data.truth[mask]
        chosen = rng.permutation(len(truth))[:_MOST_POINTS]
        pooled[data.name] = data.score(OWN)["r2_pooled"]
        known = truth if len(truth) else np.array([1.0])
        low, high = np.percentile(known, 2), float(known.max())
        low, high = max(float(low), high * 1e-5, 1e-6) / 3.0, 3.0 * high
        for model in (*baseline, OWN):
            predicted = np.clip(data.predictions[model][mask], low, high)
            style = {"color": styles[model]["color"], "alpha": 0.5 if model == OWN else 0.25}
            x, label = np.clip(truth, low, None), models[model]["label"]
            ax.plot(x[chosen], predicted[chosen], ".", ms=2.5, label=label, rasterized=True, **style)
        ax.plot([low, high], [low, high], color="black", lw=0.8)
        ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        ax.minorticks_off()  # they take longer to lay out than all else that the report draws
        r2 = pooled[data.name]
        ax.set_title(f"{data.name}: pooled R² {'-' if r2 is None else format(r2, '.3f')}", fontsize=9)
        units = data.units.replace("^2", "²").replace("^3", "³")
        ax.set_xlabel(f"reference ({units})", fontsize=8)
        ax.set_ylabel(f"prediction ({units})", fontsize=8)
    for ax in list(axes.flat)[len(cells) :]:
        ax.set_visible(False)
    legend = axes[0, 0].legend(frameon=False, fontsize=8, markerscale=4)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    title = f"Test cells of the {SPLITS[split]} are too few to score"
    if scores := {name: value for name, value in pooled.items() if value is not None}:
        worst, value = min(scores.items(), key=lambda score: score[1])
        title = f"On test cells of the {SPLITS[split]} the pooled R² is lowest for {worst}: {value:.3f}"
    caption = (
        "One point per covered patch or soil layer of a test cell, logarithmic axes; points outside lie on "
        "the edge. The line is 1:1."
    )
    if note := dead_wood_note(cells):
        caption += f" {note}"
    return Drawing(f"scatter_{split}", title, caption, figure)


def dead_wood_note(cells: Sequence[TestCells]) -> str:
    """How many values of dead wood are of woody plants; empty where dead wood is not predicted."""
    counts = [
        f"{int(data.mask[:, list(WOODY_PFTS)].sum())} of {int(data.mask.sum())} ({data.name})"
        for data in cells
        if data.patch and data.name.startswith("dead")
    ]
    if not counts:
        return ""
    return (
        "Pooled R² and NRMSE of dead wood include herbaceous patches, which have none; values of woody "
        f"plants: {', '.join(counts)}."
    )


def r2_by_pft_and_layer(cells: Sequence[TestCells], split: str, models: Mapping[str, Any]) -> Drawing:
    """R2 of the run's model per PFT and per layer; `models` are of the summary."""
    patch, layer = [c for c in cells if c.patch], [c for c in cells if not c.patch]
    figure, axes = _figure(1, 2, 10.0, 4.6, width_ratios=(1.15, 1.0))
    r2: dict[str, float] = {}
    drawn: Any = None
    groups = (
        (axes[0, 0], patch, [f"{i} {name.replace('_', ' ')}" for i, name in enumerate(PFT_NAMES)], "PFT"),
        (axes[0, 1], layer, [str(i + 1) for i in range(NLEVDECOMP)], "soil layer"),
    )
    for ax, group, names, what in groups:
        table = np.array([data.r2_by_column(OWN) for data in group]).T.reshape(len(names), len(group))
        for (row, j), value in np.ndenumerate(table):
            if np.isfinite(value):
                r2[f"{group[j].name}, {what} {names[row]}"] = float(value)
        # PFTs without test values in any variable would only be blank rows.
        rows = np.flatnonzero(np.isfinite(table).any(axis=1))
        drawn = _heat_map(ax, table[rows], [names[row] for row in rows], [data.name for data in group])
        ax.set_ylabel(what)
    label = f"R² of {models[OWN]['label']} (values below 0 in the colour of 0)"
    figure.colorbar(drawn, ax=axes[0, 1], label=label, shrink=0.8)
    title = "Too few test values per PFT and layer for an R²"
    if r2:
        weakest, value = min(r2.items(), key=lambda score: score[1])
        good = np.mean(np.array(list(r2.values())) >= 0.8)
        title = f"R² is at least 0.8 in {good:.0%} of PFTs and layers; lowest: {weakest} ({value:.2f})"
    few = f"fewer than {LEAST_VALUES} test values"
    caption = f"Test cells of the {SPLITS[split]}; blank: {few}, or no variance."
    return Drawing(f"r2_by_pft_and_layer_{split}", title, caption, figure)


def soil_carbon_maps(grid: CellMap, cells: Mapping[str, np.ndarray]) -> Drawing:
    """Soil carbon of the reference, and the difference of the injected run."""
    base = "reference" if "totsomc_reference" in cells else "injected"
    stock = cells[f"totsomc_{base}"] / 1000.0
    weight = cells["area"] * cells["landfrac"]
    figure, axes = _figure(1, 2 if base == "reference" else 1, 11.0, 3.9, layout="compressed")
    top = max(1.0, float(np.percentile(stock, 98)))
    drawn = grid.draw(axes[0, 0], stock, cmap="cividis", norm=Normalize(0.0, top))
    figure.colorbar(drawn, ax=axes[0, 0], label=f"TOTSOMC, {base} (kgC/m²)", extend="max", **_BAR)
    mean = float(weight @ stock / weight.sum())
    title, caption = f"{base.capitalize()}: {mean:.1f} kgC/m² on average", "Mean of the last forcing cycle."
    axes[0, 0].set_title(title, fontsize=9)
    if base == "reference":
        error = (cells["totsomc_injected"] - cells["totsomc_reference"]) / 1000.0
        limit = max(0.1, float(np.percentile(np.abs(error), 98)))
        drawn = grid.draw(axes[0, 1], error, cmap="PuOr_r", norm=TwoSlopeNorm(0.0, -limit, limit))
        figure.colorbar(drawn, ax=axes[0, 1], label="injected − reference (kgC/m²)", extend="both", **_BAR)
        size = float(weight @ np.abs(error) / weight.sum())
        above = float(weight[error > 0.0].sum() / weight.sum())
        axes[0, 1].set_title(f"Injected: more than the reference on {above:.0%} of the land", fontsize=9)
        share = f"{size / mean:.1%} of the reference's"
        title = f"Soil carbon per cell differs by {size:.2f} kgC/m² on average, {share}"
        caption += " Left: the reference; right: the injected run minus the reference."
    return Drawing("soil_carbon_maps", title, caption, figure)


def restart_maps(grid: CellMap, state: InjectedState) -> Drawing:
    """Carbon of soil and vegetation in the injected restart."""
    panels = [(state.soil_carbon, "soil carbon", "cividis")]
    if state.vegetation_carbon is not None:
        panels.append((state.vegetation_carbon, "vegetation carbon", "viridis"))
    figure, axes = _figure(1, len(panels), 5.5 * len(panels), 3.9, layout="compressed")
    for ax, (values, what, cmap) in zip(axes[0], panels, strict=True):
        top = max(0.1, float(np.percentile(values, 98)))
        drawn = grid.draw(ax, values, cmap=cmap, norm=Normalize(0.0, top))
        figure.colorbar(drawn, ax=ax, label=f"{what} (kgC/m²)", extend="max", **_BAR)
        ax.set_title(f"{what}: {values.min():.2g} to {values.max():.3g} kgC/m²", fontsize=9)
    title = "The restart's median cell holds " + " and ".join(
        f"{np.median(values):.2g} kgC/m² of {what}" for values, what, _ in panels
    )
    caption = (
        "Injected restart, per m² of natural vegetation and bare ground. Look for cells unlike their "
        "neighbours or their biome before you run the land model."
    )
    return Drawing("restart_maps", title, caption, figure)


def drift_maps(grid: CellMap, cells: Mapping[str, np.ndarray], threshold: float) -> Drawing:
    """Drift of ecosystem carbon per cell and run."""
    runs = [run for run in RUN_STYLE if f"drift_{run}" in cells]
    figure, axes = _figure(len(runs), 1, 7.2, 3.2 * len(runs), layout="compressed")
    norm = SymLogNorm(linthresh=threshold, vmin=-100.0 * threshold, vmax=100.0 * threshold, base=10)
    drawn: Any = None
    weight = cells["area"] * cells["landfrac"]
    median = {}
    for ax, run in zip(axes[:, 0], runs, strict=True):
        drift = cells[f"drift_{run}"]
        drawn = grid.draw(ax, drift, cmap="PuOr_r", norm=norm)
        out = float(weight[np.abs(drift) > threshold].sum() / weight.sum())
        ax.set_title(f"{run}: {out:.1%} of the land area beyond ±{threshold:g} gC/m²/yr", fontsize=9)
        median[run] = float(np.median(np.abs(drift)))
    label = "drift of TOTECOSYSC (gC/m²/yr)"
    bar = figure.colorbar(drawn, ax=axes[:, 0].tolist(), label=label, extend="both", **_BAR)
    ticks = threshold * np.array([-100.0, -10.0, -1.0, 0.0, 1.0, 10.0, 100.0])
    bar.set_ticks(list(ticks), labels=[f"{tick:g}" for tick in ticks])
    title = "The median cell drifts by " + ", ".join(f"{value:.2f} ({run})" for run, value in median.items())
    caption = (
        "gC/m²/yr; last forcing cycle minus the one before, per year. Colours are linear up to the cell "
        "threshold and logarithmic beyond it."
    )
    return Drawing("drift_maps", title + " gC/m²/yr", caption, figure)


def out_of_distribution_map(
    grid: CellMap, ood_score: np.ndarray, flag: np.ndarray, threshold: float, test: np.ndarray
) -> Drawing:
    """Score of each cell and the flagged ones, on a map and as a distribution.

    All arrays are (gridcell). `ood_score` is not finite where there is none; `flag` is not 0 where a cell is
    flagged; `test` is True on the blocked test cells.
    """
    figure, axes = _figure(1, 2, 12.0, 3.9, layout="compressed", width_ratios=(1.7, 1.0))
    ax, histogram = axes[0]
    relative = np.where(np.isfinite(ood_score), ood_score, np.nan) / threshold
    flagged = flag != 0
    count = int(flagged.sum())
    few, label = count <= _MOST_RINGS, f"flagged ({count})"
    if few:
        limits = Normalize(np.nanmin(relative), np.nanmax(relative))
        drawn = grid.draw(ax, relative, cmap="cividis", norm=limits)
        ring: dict[str, Any] = {"ms": 9, "mfc": "none", "mec": VERMILLION, "mew": 2.0, "zorder": 4}
        halo = [withStroke(linewidth=4.0, foreground="white")]
        ax.plot(grid.lon[flagged], grid.lat[flagged], "o", label=label, path_effects=halo, **ring)
        handles = None
    else:
        # Rings would hide each other and the map: the cells themselves are coloured.
        cmap = colormaps["cividis"].with_extremes(over=VERMILLION)
        beyond = np.where(flagged, np.fmax(relative, _BEYOND), relative)
        # Below 1 also where all scores are above it: the scale ends at the threshold.
        lowest = min(float(np.nanmin(beyond)), 0.9)
        drawn = grid.draw(ax, beyond, cmap=cmap, norm=Normalize(lowest, 1.0))
        handles = [Patch(color=VERMILLION, label=label)]
    ax.legend(handles=handles, frameon=True, fontsize=8, loc="lower left").set_zorder(5)
    extend = "neither" if few else "max"
    figure.colorbar(drawn, ax=ax, label="score / threshold", extend=extend, **_BAR)
    known = np.isfinite(relative)
    steps = int(np.clip(2.0 * np.sqrt(known.sum()), 8, 40))
    bins = np.linspace(0.0, 1.02 * max(1.0, float(np.nanmax(relative))), steps)
    whole = "all cells" if known.all() else "cells with complete inputs"
    sets = [(known, whole, GREY), (known & test, "blocked test cells", BLUE)]
    for chosen, name, colour in sets if test.any() else sets[:1]:
        share = 100.0 * np.histogram(relative[chosen], bins)[0] / max(1, chosen.sum())
        histogram.stairs(share, bins, lw=1.6, color=colour, label=f"{name} ({chosen.sum()})")
    histogram.axvline(1.0, color=VERMILLION, lw=1.2, ls="--", label="threshold")
    histogram.set_xlabel("score / threshold")
    histogram.set_ylabel("cells (% of each set)")
    histogram.set_box_aspect(0.75)
    # Room above the steps for the legend, on the side where the threshold is not.
    histogram.set_ylim(0.0, 1.4 * histogram.dataLim.y1)
    side = "upper left" if bins[-1] < 2.0 else "upper right"
    histogram.legend(frameon=False, fontsize=8, loc=side)
    title = f"{count} of {len(flag)} cells are unlike the training cells"
    if test.any():
        above = int(np.sum(relative[known & test] > 1.0))
        title += f"; {above} of {int(test.sum())} blocked test cells lie beyond the threshold"
    caption = (
        "Distance to the training cells in the latent space of the blocked model, relative to the threshold, "
        "on a map and as a distribution."
    )
    return Drawing("out_of_distribution_map", title, caption, figure)


def split_maps(
    splits: Mapping[str, tuple[CellMap, np.ndarray]], parts: Mapping[str, int], distance: Mapping[str, float]
) -> Drawing:
    """Training, validation and test cells of the splits (split -> cells and their codes of `parts`).

    `distance` is that of the median test cell of each split to its nearest training cell, km.
    """
    figure, axes = _figure(1, len(splits), 5.5 * len(splits), 3.7, layout="compressed")
    cmap = ListedColormap([PART_COLOURS[part] for part in parts])
    norm = BoundaryNorm(np.arange(len(parts) + 1) - 0.5, len(parts))
    drawn: Any = None
    for ax, (split, (grid, part)) in zip(axes[0], splits.items(), strict=True):
        drawn = grid.draw(ax, part.astype(np.float64), cmap=cmap, norm=norm, codes=True)
        ax.set_title(f"{SPLITS[split]}: {int(np.sum(part == parts['test']))} test cells", fontsize=9)
    bar = figure.colorbar(drawn, ax=axes[0, :].tolist(), ticks=list(parts.values()), **_BAR)
    bar.ax.set_xticklabels(list(parts))
    title = "The median test cell is away from its nearest training cell by " + ", ".join(
        f"{distance[split]:,.0f} km ({SPLITS[split]})" for split in splits
    )
    caption = "Which cells each model was trained on. The injected state comes from the blocked model."
    return Drawing("split_maps", title, caption, figure)


def training_curves(training: Mapping[str, pd.DataFrame]) -> Drawing:
    """Loss over the epochs of both trainings."""
    figure, axes = _figure(1, len(training), 5.0 * len(training), 3.4)
    best = {}
    for ax, (split, table) in zip(axes[0], training.items(), strict=True):
        ax.plot(table["epoch"], table["train_loss"], color=GREY, lw=1.2, label="training cells")
        ax.plot(table["epoch"], table["validation_loss"], color=BLUE, lw=1.4, label="validation cells")
        kept = table.iloc[int(table["validation_loss"].to_numpy().argmin())]
        best[split] = int(kept["epoch"])
        ax.plot(kept["epoch"], kept["validation_loss"], "o", color=VERMILLION, label="kept")
        ax.set_yscale("log")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss (normalised units)")
        ax.set_title(SPLITS[split], fontsize=9)
        ax.grid(alpha=0.25)
    axes[0, 0].legend(frameon=False, fontsize=8)
    title = "The best epoch on validation cells is " + ", ".join(
        f"{epoch} ({SPLITS[split]})" for split, epoch in best.items()
    )
    return Drawing("training_curves", title, "Validation cells are taken from the training part.", figure)


def experiments_overview(experiments: Mapping[str, Any], targets: Sequence[str]) -> Drawing:
    """R2 and log-ratio error of the experiments and the run by variable: mean over seeds and their spread."""
    split = next(split for split in ("block", *SPLITS) if split in experiments[OWN]["skill"])
    shown = {name: one["skill"][split] for name, one in experiments.items() if split in one["skill"]}
    figure, axes = _figure(2, len(targets), 11.0, 1.6 + 0.5 * len(shown), sharey=True, sharex="row")
    place = np.arange(len(shown))[::-1]
    for row, metric in zip(axes, ("r2", "median_abs_log_ratio"), strict=True):
        for ax, target in zip(row, targets, strict=True):
            mean, spread = (
                np.array([skill[target][metric][what] for skill in shown.values()], dtype=float)
                for what in ("mean", "std")
            )
            # The table has the numbers below -1.
            drawn = np.clip(mean, -1.0, None) if metric == "r2" else mean
            colours = [BLUE if name == OWN else GREY for name in shown]
            ax.errorbar(drawn, place, xerr=spread, ls="", ecolor=colours, elinewidth=1.5)
            ax.scatter(drawn, place, c=colours, s=28, zorder=3)
            ax.axvline(drawn[list(shown).index(OWN)], color=BLUE, lw=0.7, alpha=0.5)
            ax.set_yticks(place, [experiments[name]["label"] for name in shown])
            ax.grid(alpha=0.25, axis="x")
    for ax, target in zip(axes[0], targets, strict=True):
        ax.set_title(target, fontsize=9)
        ax.set_xlim(-1.1, 1.05)
    axes[0, 0].set_xlabel("mean R² (below −1 at −1)", fontsize=8)
    axes[1, 0].set_xlabel("median |ln ratio|", fontsize=8)
    axes[1, 0].set_xlim(left=0.0)
    caption = (
        f"Test cells, {SPLITS[split]}. Points are means over the seeds, bars one standard deviation to each "
        "side; no bar where there is one seed. The line is the run's setting."
    )
    counts = []
    for name in (name for name in shown if name != OWN and experiments[name]["trained"]):
        pairs = [(shown[name][target]["r2"]["mean"], shown[OWN][target]["r2"]["mean"]) for target in targets]
        worse = sum(run is not None and (other is None or other < run) for other, run in pairs)
        counts.append(f"{experiments[name]['label']}: {worse}")
    title = "The run's settings with several seeds"
    if counts:
        title = f"Headline variables with a lower R² than the run's settings, of {len(targets)}: "
    return Drawing("experiments", title + ", ".join(counts), caption, figure)


def cost_bars(cost: Mapping[str, Any], roles: Iterable[str]) -> Drawing:
    """Core-seconds by role."""
    figure, axes = _figure(1, 1, 8.0, 2.6)
    ax = axes[0, 0]
    conventional = cost["core_seconds_conventional"]
    bars = {} if conventional is None else {"conventional": conventional}
    bars |= {role: cost["core_seconds_by_role"][role] for role in roles}
    place = np.arange(len(bars))[::-1]
    colours = [{"conventional": GREY, "accelerated": BLUE}.get(bar, ORANGE) for bar in bars]
    ax.barh(place, list(bars.values()), color=colours)
    for y, value in zip(place, bars.values(), strict=True):
        ax.annotate(f" {value:,.0f}", (value, y), va="center", fontsize=8)
    ax.set_yticks(place, list(bars))
    ax.set_xlabel("core-seconds measured in this run")
    ax.margins(x=0.12)
    if conventional is None:
        share = cost["core_seconds_by_role"]["accelerated"] / cost["core_seconds_total"]
        title = f"Surrogate, injection and the target's records took {share:.0%} of the core-seconds"
        caption = "No conventional spin-up of the target was run here to compare with."
        if cost["integration_years"]["conventional"] is None:
            caption = "The land model of the target was run elsewhere and is not counted."
        return Drawing("cost", title, caption, figure)
    ratio = cost["ratio_core_seconds"]
    title = "Measured cost of the run"
    if ratio:
        title = f"The accelerated spin-up, without labels, cost {compared(ratio)} than the conventional one"
    if ratio and compared(ratio) == "the same":
        title = title.replace(" than ", " as ")
    caption = (
        "Conventional: the whole AD and reference run of this domain. The labels are that same run after its "
        f"first {cost['integration_years']['before_injection']} AD years, which count as accelerated: these "
        "bars overlap and do not add up."
    )
    return Drawing("cost", title, caption, figure)
