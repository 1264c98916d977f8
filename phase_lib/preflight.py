"""What can be known to be wrong before anything runs: disk space, and files that do not belong together."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.root import WorkflowConfig
from phase_lib.elm.domain import read_domain
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.restart import read_header
from phase_lib.elm.surface import surface_variable

#: Land cells of the globe without Antarctica at 1 degree, for the estimate of what a run writes.
_CELLS_AT_ONE_DEGREE = 17_500
#: Bytes per cell of a restart (as real ones have) and of one 20-year history sample.
_RESTART_BYTES, _HISTORY_BYTES = 150_000, 10_000
#: Bytes per cell of the dataset, predictions and reports together.
_DATASET_BYTES = 100_000


def expected_cells(config: WorkflowConfig) -> int:
    """Estimate of the number of land cells; of a box, that of all its cells, land or not."""
    world = config.world
    cells = _CELLS_AT_ONE_DEGREE / world.resolution_deg**2
    if world.bounds is not None:
        south, north, west, east = world.bounds
        cells = min(cells, (north - south) * ((east - west) % 360.0 or 360.0) / world.resolution_deg**2)
    return min(math.ceil(cells), world.cells or math.ceil(cells))


def bytes_written(config: WorkflowConfig) -> float:
    """Estimate of what a whole run writes, bytes."""
    cells = expected_cells(config)
    chains = [config.land_model.boundaries(case) for case in ("ad", "reference", "control", "injected")]
    restarts = sum(len(chain) - 1 for chain in chains) + 2
    samples = sum(chain[-1] - chain[0] for chain in chains) / config.world.forcing_years
    per_cell = restarts * _RESTART_BYTES + samples * _HISTORY_BYTES + _DATASET_BYTES
    return config.world.forcing_bytes() + cells * per_cell


def _disk(config: WorkflowConfig) -> tuple[float, float, float]:
    """Bytes that a whole run writes, that its directory holds already, and that are free."""
    directory = config.run.directory
    there = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return bytes_written(config), there, shutil.disk_usage(place).free


def overview(config: WorkflowConfig) -> list[str]:
    """What a configuration asks for, in a few lines."""
    world, model = config.world, config.land_model
    whole, there, free = _disk(config)
    return [
        f"run {config.run.name} in {config.run.directory}",
        f"about {expected_cells(config)} land cells of {world.resolution_deg:g} degrees, forcing of "
        f"{world.forcing_years} years from {world.forcing_first_year:04d}",
        f"{model.ad_years} years of AD, {model.normal_years} in normal mode, {model.stabilisation_years} of "
        f"stabilisation from the restart after {model.input_years} years",
        f"disk: about {whole / 1e9:.1f} GB for the whole run, {there / 1e9:.1f} GB there already, "
        f"{free / 1e9:.1f} GB free",
    ]


def check_disk(config: WorkflowConfig) -> list[str]:
    """Findings on disk space: what is still to be written against what is free."""
    directory = config.run.directory
    whole, there, free = _disk(config)
    needed = whole - there
    if needed <= free:
        return []
    return [
        f"{directory}: the run writes about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
        "free some, or set run.results_dir to another disk"
    ]


def check_files(restart: Path | None, surface: Path | None, domain: Path | None) -> list[str]:
    """Findings on files that do not describe the same cells.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    cells: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    if restart is not None:
        _, subgrid = read_header(restart)
        cells[restart] = subgrid.lat, subgrid.lon
    if domain is not None:
        land = read_domain(domain)
        cells[domain] = land.lat, land.lon
    findings = []
    if restart is not None and domain is not None and len(cells[restart][0]) != len(cells[domain][0]):
        findings.append(
            f"{restart}: has {len(cells[restart][0])} cells, but {domain} has {len(cells[domain][0])}; "
            "use files of the same grid"
        )
    points = None if surface is None else _surface_points(surface)
    for path, (lat, lon) in cells.items():
        others = {other: place for other, place in cells.items() if other != path}
        if surface is not None and points is not None:
            others[surface] = points
        for other, (other_lat, other_lon) in others.items():
            try:
                match_cells(
                    lat, lon, other_lat, other_lon, file=other, what=f"cells for those of {path.name}"
                )
            except InputError as error:
                findings.append(str(error))
    return findings


def _surface_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with open_dataset(path) as dataset:
        lat, lon = (
            np.asarray(surface_variable(path, dataset, name)[:], dtype=np.float64).reshape(-1)
            for name in ("LATIXY", "LONGXY")
        )
    return lat, lon
