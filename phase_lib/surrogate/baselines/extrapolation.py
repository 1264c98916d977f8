"""Where an exponential through the course of the 20 years ends, pool by pool."""

from __future__ import annotations

import numpy as np

from phase_lib.base.progress import LOGGER
from phase_lib.dataset.loading import iterate_record_files
from phase_lib.elm.soil_budget import content_field
from phase_lib.elm.variables import VARIABLES
from phase_lib.fusion.course import WINDOW_YEARS
from phase_lib.surrogate.baselines.state20 import State20
from phase_lib.surrogate.predictor import Baseline, Predictions

#: A course that slows down less, or not at all, is taken to slow down with this time scale, years: the length
#: of the run, as a course shows nothing that is slower. Chosen by training and validation cells.
SLOWEST = 20.0


def course_field(target: str) -> str | None:
    """History field that a target follows: its soil pool, or the plants of the cell; None for none."""
    variable = VARIABLES[target]
    if variable.level == "patch":
        return "TLAI" if target == "tlai" else "TOTVEGC"
    return content_field(variable.soil_pool) if variable.soil_pool else None


def growth_to_end(course: np.ndarray) -> np.ndarray:
    """Ratio of the end of an exponential course to its value at the end of the last window.

    What means of windows of equal length lack to the end shrinks by a factor r from one to the next, which is
    the ratio of successive differences (Aitken's delta-squared process). Of what the mean of the last window
    lacks, its end lacks -r ln(r) / (1 - r).

    Args:
        course: means of three windows (cell, window, ...).

    Returns:
        (cell, ...), 0 where the course leads below 0; 1 where it is not known or nothing is there.
    """
    first, second, third = np.moveaxis(course.astype(np.float64), 1, 0)
    before, after = second - first, third - second
    slows = np.divide(after, before, out=np.zeros_like(after), where=before != 0.0)
    r = np.clip(slows, 1.0e-12, np.exp(-WINDOW_YEARS / SLOWEST))
    to_come = after * r / (1.0 - r)
    value = third + to_come * (1.0 + r * np.log(r) / (1.0 - r))
    known = np.isfinite(value) & (value > 0.0)
    ratio = (third + to_come) / np.where(known, value, 1.0)
    return np.where(known, np.maximum(ratio, 0.0), 1.0)


class Extrapolation(Baseline):
    """The 20-year state times the growth to the end of an exponential course.

    Carbon of soil and litter follows the course of its pool and layer, N and P that of their carbon. All
    pools of the plants of a cell follow the mean of the cell, as the history has no PFTs. Mineral N keeps its
    20-year state.
    """

    name, label = "extrapolation", "exponential extrapolation"

    def predict(self, cells: np.ndarray) -> Predictions:
        """See `Predictor`."""
        task = self.task
        start = State20(task).predict(cells).pools
        fields = {name: field for name in task.targets if (field := course_field(name))}
        wanted = [f"course_{field}" for field in dict.fromkeys(fields.values())]
        pieces = [values for _, values in iterate_record_files(task.dataset_dir, wanted, cells, task.index)]
        courses = {name: np.concatenate([piece[name] for piece in pieces]) for name in wanted}
        unknown = [name for name, values in courses.items() if np.isnan(values).all()]
        if unknown:
            LOGGER.info("%s is not known: what follows it keeps its 20-year state", ", ".join(unknown))
        growth = {name: growth_to_end(values) for name, values in courses.items()}
        pools = dict(start)
        for name, field in fields.items():
            ratio = growth[f"course_{field}"]
            pools[name] = start[name] * (ratio[:, None] if VARIABLES[name].level == "patch" else ratio)
        return Predictions(pools)
