"""What a run will write, and whether there is room for it."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from phase_lib.config.domains import EMBEDDED
from phase_lib.config.root import WorkflowConfig
from phase_lib.forcing import FORCING
from phase_lib.preflight.domain import DomainSummary
from phase_lib.preflight.findings import Finding, finding

#: Embedded world: land cells of the globe without Antarctica at 1 degree.
_CELLS_AT_ONE_DEGREE = 17_500
#: Bytes per cell of a restart (as real ones have) and of one 20-year history sample.
_RESTART_BYTES, _HISTORY_BYTES = 150_000, 10_000
#: Bytes per cell of its dataset, predictions and reports together.
_DATASET_BYTES = 100_000
#: Of a domain from files: bytes per cell of records without forcing, predictions and reports together,
#: and of a monthly mean, which is written twice, for the domain and in the records.
_RECORD_BYTES, _MEAN_BYTES = 20_000, 2 * 4


@dataclass(frozen=True)
class Disk:
    """Room for a run, bytes.

    Attributes:
        whole: what the whole run writes, about.
        there: what its directory holds already.
        free: what is free there.
        place: the directory itself, or the nearest one above it that exists.
    """

    whole: float
    there: float
    free: float
    place: Path

    @property
    def needed(self) -> float:
        """What is still to be written."""
        return self.whole - self.there

    def __str__(self) -> str:
        return (
            f"disk: about {self.whole / 1e9:.1f} GB for the whole run, {self.there / 1e9:.1f} GB there "
            f"already, {self.free / 1e9:.1f} GB free"
        )


def expected_cells(config: WorkflowConfig) -> int:
    """Estimate of the embedded world's land cells; of a box, that of all its cells, land or not."""
    world = config.world
    cells = _CELLS_AT_ONE_DEGREE / world.resolution_deg**2
    if world.bounds is not None:
        south, north, west, east = world.bounds
        cells = min(cells, (north - south) * ((east - west) % 360.0 or 360.0) / world.resolution_deg**2)
    return min(math.ceil(cells), world.cells or math.ceil(cells))


def bytes_written(config: WorkflowConfig, domains: Sequence[DomainSummary]) -> float:
    """Estimate of what a whole run writes.

    Args:
        config: of the run.
        domains: what was understood of the domains from files.
    """
    total = sum(_bytes_of_domain(domain) for domain in domains)
    if EMBEDDED in (*config.training.domains, config.target.domain):
        total += _bytes_of_embedded(config)
    return total


def _bytes_of_domain(domain: DomainSummary) -> float:
    """Monthly forcing and records; for the target the injected restart and that of the control too."""
    months = 0 if domain.forcing is None else 12 * domain.forcing.years
    per_cell = len(FORCING) * months * _MEAN_BYTES + _RECORD_BYTES
    restarts = 2 * domain.restart.bytes if domain.target and domain.restart is not None else 0
    return domain.cells * per_cell + restarts


def _bytes_of_embedded(config: WorkflowConfig) -> float:
    injected = config.target.domain == EMBEDDED
    chains = [config.land_model.boundaries(case) for case in ("ad", "reference")]
    if injected:
        chains += [config.land_model.boundaries(case) for case in ("control", "injected")]
    restarts = sum(len(chain) - 1 for chain in chains) + (2 if injected else 0)
    samples = sum(chain[-1] - chain[0] for chain in chains) / config.world.forcing_years
    per_cell = restarts * _RESTART_BYTES + samples * _HISTORY_BYTES + _DATASET_BYTES
    return config.world.forcing_bytes() + expected_cells(config) * per_cell


def room_for(config: WorkflowConfig, domains: Sequence[DomainSummary]) -> Disk:
    """What a run will write, and what room there is."""
    directory = config.run.directory
    there = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return Disk(bytes_written(config, domains), there, shutil.disk_usage(place).free, place)


def check_disk(config: WorkflowConfig, disk: Disk) -> Iterator[Finding]:
    """What is still to be written can be written there, and fits on the disk."""
    if not (disk.place.is_dir() and os.access(disk.place, os.W_OK | os.X_OK)):
        yield finding(
            config.run.directory,
            f"cannot be written: {disk.place} is no directory that may be written to",
            remedy="set run.results_dir to another place",
        )
    elif disk.needed > disk.free:
        yield finding(
            config.run.directory,
            f"the run writes about {disk.needed / 1e9:.1f} GB, {disk.free / 1e9:.1f} GB are free",
            remedy="free some, or set run.results_dir to another disk",
        )
