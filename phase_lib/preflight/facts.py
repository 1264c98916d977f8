"""What the files of a domain say of themselves: facts from headers and index arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.history import History
from phase_lib.elm.history_cells import HistoryGrid
from phase_lib.elm.history_header import fields_of
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import read_header
from phase_lib.elm.subgrid import Subgrid
from phase_lib.elm.surface import horizontal_dims, surface_places, surface_variable

#: Names of landunits and their codes (`cols1d_ityplun`).
LANDUNITS: dict[str, tuple[int, ...]] = {
    "soil": (1,),
    "crop": (2,),
    "land ice": (3, 4),
    "lake": (5,),
    "wetland": (6,),
    "urban": (7, 8, 9),
}
#: Spin-up states in words.
MODES = {0: "normal mode", 1: "AD", None: "spin-up state not given"}
#: Time bounds may be off by a day: ELM's first sample holds the step before the start.
_DAY = 1.0 / DAYS_PER_YEAR


@dataclass(frozen=True)
class Cells:
    """Places of the cells that a file lists.

    Attributes:
        path: file.
        lat, lon: degrees (gridcell).
    """

    path: Path
    lat: np.ndarray
    lon: np.ndarray

    def __len__(self) -> int:
        return len(self.lat)


@dataclass(frozen=True)
class RestartSummary:
    """A restart in plain values.

    Attributes:
        file: name with path.
        flavour, bytes: NetCDF flavour and size of the file.
        date: on the model's clock.
        year: of that date.
        case_id: case that wrote it; empty where the file does not say.
        start_year: in which the run began that wrote it; None where the file does not say.
        spinup_state: 0 normal, 1 AD, None where the file does not say.
        decomp_cascade_state: 10 CTC, 11 Century, None where the file does not say.
        cells, columns, patches, covered_patches: counts; those under natural vegetation are covered.
        soil_columns: columns of natural vegetation: more than cells where topounits divide them.
        cells_without_soil: cells that have no such column.
        landunits: name -> cells in which it has weight.
        natural_pfts: PFTs on the soil columns.
        levgrnd: soil layers, with bedrock.
        surface_dataset: surface file of the run that wrote it.
    """

    file: str
    flavour: str
    bytes: int
    date: str
    year: int
    case_id: str
    start_year: int | None
    spinup_state: int | None
    decomp_cascade_state: int | None
    cells: int
    columns: int
    patches: int
    covered_patches: int
    soil_columns: int
    cells_without_soil: int
    landunits: dict[str, int]
    natural_pfts: int
    levgrnd: int
    surface_dataset: str

    @property
    def mode(self) -> str:
        """The spin-up state in words."""
        return MODES[self.spinup_state]


@dataclass(frozen=True)
class Restart:
    """A restart: its summary, and the places and cover of its cells."""

    summary: RestartSummary
    grid: Subgrid

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.summary.file)

    @property
    def cells(self) -> Cells:
        """Places of its cells."""
        return Cells(self.path, self.grid.lat, self.grid.lon)


def read_restart(path: Path) -> Restart:
    """Reads a restart's header and index arrays.

    Raises:
        InputError: it is no restart that this software understands.
    """
    header, grid = read_header(path)
    return Restart(
        RestartSummary(
            file=str(path),
            flavour=header.flavour,
            bytes=path.stat().st_size,
            date=header.date,
            year=header.year,
            case_id=header.case_id,
            start_year=header.start_year,
            spinup_state=header.spinup_state,
            decomp_cascade_state=header.decomp_cascade_state,
            cells=grid.ncells,
            columns=header.dims["column"],
            patches=header.dims["pft"],
            covered_patches=int(np.count_nonzero(grid.soil.covered)),
            soil_columns=len(grid.soil.column),
            cells_without_soil=int(np.count_nonzero(~grid.has_soil)),
            landunits=_landunits(path),
            natural_pfts=grid.natural_pfts,
            levgrnd=header.dims.get("levgrnd", 0),
            surface_dataset=header.surface_dataset,
        ),
        grid,
    )


def _landunits(path: Path) -> dict[str, int]:
    with open_dataset(path) as dataset:
        cell, kind, weight = (
            np.asarray(get_variable(path, dataset, f"cols1d_{name}")[:])
            for name in ("gridcell_index", "ityplun", "wtxy")
        )
    weighty = weight > 0.0
    counts = {name: len(np.unique(cell[weighty & np.isin(kind, codes)])) for name, codes in LANDUNITS.items()}
    return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True)
class SurfaceFacts:
    """A surface file's grid.

    Attributes:
        cells: all its points.
        shape: of its horizontal dimensions.
        natpft: natural PFTs.
    """

    cells: Cells
    shape: tuple[int, ...]
    natpft: int

    @property
    def listed(self) -> bool:
        """True for a list of the land cells, False for a grid with ocean in it."""
        return min(self.shape) == 1 or len(self.shape) == 1


def read_surface_facts(path: Path) -> SurfaceFacts:
    """The grid of a surface file.

    Raises:
        InputError: coordinates, cover or soil are missing.
    """
    with open_dataset(path) as dataset:
        latixy = surface_variable(path, dataset, "LATIXY")
        horizontal_dims(path, latixy)
        return SurfaceFacts(
            Cells(path, *surface_places(path, dataset)),
            latixy.shape,
            surface_variable(path, dataset, "PCT_NAT_PFT").shape[0],
        )


@dataclass(frozen=True)
class HistoryFacts:
    """A run's history.

    Attributes:
        path: its first file.
        grid: its land cells.
        case: case that wrote it; empty where the files do not say.
        files: how many hold means over time.
        start, end: bounds of the samples, model years (time).
        fields: what all of its files hold.
        no_means: fields that are no means over time -> first such file, and what they hold.
        sample_paths: file of each sample (time).
    """

    path: Path
    grid: HistoryGrid
    case: str
    files: int
    start: np.ndarray
    end: np.ndarray
    fields: frozenset[str]
    no_means: Mapping[str, tuple[Path, str]]
    sample_paths: tuple[Path, ...]

    @property
    def cells(self) -> Cells:
        """Places of its land cells."""
        return Cells(self.grid.path, self.grid.lat, self.grid.lon)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which cells count or do not count although their land mask says otherwise."""
        return self.grid.remarks

    def covered(self, first: float, end: float) -> float:
        """Years that the samples cover from the start of one model year to that of another."""
        overlap = np.minimum(self.end, end) - np.maximum(self.start, first)
        return float(np.clip(overlap, 0.0, None).sum())

    def covers(self, first: float, end: float) -> bool:
        """True if no day is missing from the start of one model year to that of another."""
        return abs(self.covered(first, end) - (end - first)) <= _DAY

    def last(self, years: int) -> list[Path]:
        """The files that hold samples of the last years, in order of time."""
        inside = self.end > self.end[-1] - years + _DAY
        return list(dict.fromkeys(path for path, used in zip(self.sample_paths, inside, strict=True) if used))

    def cycles(self, years: int) -> int:
        """Whole forcing cycles that fit into the samples."""
        return int((self.end[-1] - self.start[0] + _DAY) // years)


def read_history(paths: Sequence[Path]) -> HistoryFacts:
    """What a history covers.

    Raises:
        InputError: the files are no history of one run.
    """
    history = History(paths)
    with open_dataset(history.paths[0]) as dataset:
        fields = fields_of(dataset)
    return HistoryFacts(
        history.paths[0],
        history.grid,
        history.case,
        len(history.paths),
        history.start + history.origin,
        history.end + history.origin,
        history.variables.intersection(fields),
        history.no_means,
        tuple(history.sample_paths),
    )
