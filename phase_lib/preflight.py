"""What can be known to be wrong before anything runs: disk space, and files that do not belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.config.root import WorkflowConfig
from phase_lib.elm.domain import read_domain
from phase_lib.elm.matching import match_cells
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import read_header

#: Land cells of the globe without Antarctica at 1 degree, for the estimate of what a run writes.
_CELLS_AT_ONE_DEGREE = 17_500
#: Bytes per cell of a restart (as real ones have) and of one 20-year history sample.
_RESTART_BYTES, _HISTORY_BYTES = 150_000, 10_000
#: Bytes per cell of the dataset, predictions and reports together.
_DATASET_BYTES = 100_000


def bytes_written(config: WorkflowConfig) -> float:
    """Estimate of what a whole run writes, bytes."""
    cells = config.world.cells or _CELLS_AT_ONE_DEGREE / config.world.resolution_deg**2
    chains = [config.land_model.boundaries(case) for case in ("ad", "reference", "control", "injected")]
    restarts = sum(len(chain) - 1 for chain in chains) + 2
    samples = sum(chain[-1] - chain[0] for chain in chains) / config.world.forcing_years
    per_cell = restarts * _RESTART_BYTES + samples * _HISTORY_BYTES + _DATASET_BYTES
    return config.world.forcing_bytes() + cells * per_cell


def check_disk(config: WorkflowConfig) -> list[str]:
    """Findings on disk space: what is still to be written against what is free."""
    directory = config.run.directory
    there = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    needed = bytes_written(config) - there
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
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
            np.asarray(get_variable(path, dataset, name)[:], dtype=np.float64).reshape(-1)
            for name in ("LATIXY", "LONGXY")
        )
    return lat, lon
