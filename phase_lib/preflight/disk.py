"""What a run will write, and whether there is room for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phase_lib.config.root import WorkflowConfig
from phase_lib.forcing.variables import FORCING
from phase_lib.landmodel.domain import Domain
from phase_lib.landmodel.planning import land_model_of
from phase_lib.preflight.domain import DomainSummary
from phase_lib.preflight.findings import Finding, finding

#: Bytes per cell of records without forcing, predictions and reports together, and of a monthly mean, which
#: is written twice, for the domain and in the records.
_RECORD_BYTES, _MEAN_BYTES = 20_000, 2 * 4
_MONTHS = 12


@dataclass(frozen=True)
class Disk:
    """Room for a run, bytes.

    Attributes:
        whole: estimate for the whole run.
        there: already in its directory.
        free: free on its disk.
        place: its directory, or the nearest one above it that exists.
        without: domains that the estimate leaves out, as their cells are not known yet.
    """

    whole: float
    there: float
    free: float
    place: Path
    without: tuple[str, ...] = ()

    @property
    def needed(self) -> float:
        """What is still to be written."""
        return self.whole - self.there

    def __str__(self) -> str:
        left_out = f" without {', '.join(self.without)}, whose size is not known yet" if self.without else ""
        return (
            f"disk: about {self.whole / 1e9:.1f} GB for the whole run{left_out}, {self.there / 1e9:.1f} GB "
            f"there already, {self.free / 1e9:.1f} GB free"
        )


def _bytes_of_domain(config: WorkflowConfig, domain: Domain, summary: DomainSummary | None) -> float | None:
    """Files that its land model makes, its runs, monthly forcing, records, and the restarts of the target.

    None where the number of its cells is not known yet.
    """
    model, total = land_model_of(config, domain.name), 0.0
    if "domain" in domain.made:
        world = model.world(domain)
        cells, total = world.cells, world.bytes
    else:
        cells = 0 if summary is None else summary.cells
    if not cells:
        return None
    cost = model.cost(cells)
    total += cells * (len(FORCING) * _MONTHS * domain.cycle * _MEAN_BYTES + _RECORD_BYTES)
    if domain.target:
        given = None if summary is None else summary.restart
        restart = cost.restart_bytes if given is None else given.bytes
        total += 2 * restart
        # Of each model whose restart is tested: as predicted, clipped, and the run from the first.
        tested, cycles = len(domain.starts), config.experiments.restart_test_years / domain.cycle
        total += tested * (2 * restart + cost.restart_bytes + cycles * cost.history_bytes)
    for chain in domain.chains:
        years = chain.boundaries[-1] - chain.boundaries[0]
        total += (len(chain.boundaries) - 1 + len(chain.corrections)) * cost.restart_bytes
        total += years / domain.cycle * cost.history_bytes
        segments = domain.segments(chain, config.spinup)
        total += sum(segment.further_means for segment in segments) * cost.field_bytes
        total += max((segment.years for segment in segments), default=0) * cost.running_bytes
    return total


def room_for(
    config: WorkflowConfig, planned: Mapping[str, Domain], summaries: Sequence[DomainSummary]
) -> Disk:
    """An estimate of what a run will write, and the room for it.

    Args:
        config: of the run.
        planned: its domains.
        summaries: what was understood of those that have files.
    """
    read = {summary.name: summary for summary in summaries}
    estimates = {name: _bytes_of_domain(config, domain, read.get(name)) for name, domain in planned.items()}
    known = [estimate for estimate in estimates.values() if estimate is not None]
    unknown = tuple(name for name, estimate in estimates.items() if estimate is None)
    directory = config.run.directory
    there = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return Disk(sum(known), there, shutil.disk_usage(place).free, place, unknown)


def check_disk(config: WorkflowConfig, disk: Disk) -> Iterator[Finding]:
    """The directory of the run can be written to, and the disk has room for the rest of the run."""
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
