"""Facts about the files of a domain, from their headers and index arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.elm.calendar import forcing_year
from phase_lib.elm.constants import DAYS_PER_YEAR
from phase_lib.elm.domain import Domain as LandCells
from phase_lib.elm.history import History
from phase_lib.elm.history_cells import HistoryGrid
from phase_lib.elm.history_header import fields_of
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.restart import read_header
from phase_lib.elm.subgrid import Subgrid
from phase_lib.elm.surface import horizontal_dims, surface_places, surface_variable
from phase_lib.forcing.points import map_cells
from phase_lib.forcing.reduce import open_record
from phase_lib.forcing.variables import FORCING
from phase_lib.landmodel.domain import Forcing

#: Names of landunits and their codes (`cols1d_ityplun`).
LANDUNITS = {"soil": [1], "crop": [2], "land ice": [3, 4], "lake": [5], "wetland": [6], "urban": [7, 8, 9]}
#: Spin-up states in words.
MODES = {0: "normal mode", 1: "AD", None: "spin-up state not given"}
#: Time bounds may be wrong by a day: ELM's first sample includes the step before the start.
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
        case_id: case that wrote it; empty where not known.
        start_year: in which that run began; None where not known.
        spinup_state: 0 normal, 1 AD, None where not known.
        decomp_cascade_state: 10 CTC, 11 Century, None where not known.
        cells, columns, patches: counts.
        covered_patches: patches of natural vegetation with cover.
        soil_columns: columns of natural vegetation: more than cells where topounits divide them.
        cells_without_soil: cells that have no such column.
        landunits: name -> number of cells in which it has weight.
        natural_pfts: PFTs on the soil columns.
        levgrnd: soil layers, with bedrock.
        surface_dataset: surface file of that run.
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
    """A restart: its file and summary, and the places and cover of its cells."""

    path: Path
    summary: RestartSummary
    grid: Subgrid

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
    summary = RestartSummary(
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
    )
    return Restart(path, summary, grid)


def _landunits(path: Path) -> dict[str, int]:
    names = (f"cols1d_{name}" for name in ("gridcell_index", "ityplun", "wtxy"))
    with open_dataset(path) as dataset:
        cell, kind, weight = (np.asarray(get_variable(path, dataset, name)[:]) for name in names)
    present = weight > 0.0
    counts = {name: len(np.unique(cell[present & np.isin(kind, codes)])) for name, codes in LANDUNITS.items()}
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
        case: case that wrote it; empty where not known.
        files: number of files that hold means over time.
        start, end: bounds of the samples, model years (time).
        fields: names of the fields that all of its files hold.
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
    first = history.paths[0]
    with open_dataset(first) as dataset:
        fields = fields_of(dataset)
    return HistoryFacts(
        first,
        history.grid,
        history.case,
        len(history.paths),
        history.start + history.origin,
        history.end + history.origin,
        history.variables.intersection(fields),
        history.no_means,
        tuple(history.sample_paths),
    )


@dataclass(frozen=True)
class ForcingSummary:
    """The forcing of a domain in plain values.

    Attributes:
        kind, product: layout of the files, and name of the data set.
        step_hours: hours between two values, those of all variables.
        first_year, years: forcing cycle.
        align_year: model year that sees its first year.
        files: number of files that are read.
        made_of: variable -> names on file that it is made of.
        assumed_units: name on file -> units that are assumed, as the file has none.
        max_distance_km: distance of the cell farthest from its forcing point; None without a domain file.
    """

    kind: str
    product: str
    step_hours: list[float]
    first_year: int
    years: int
    align_year: int
    files: int
    made_of: dict[str, str]
    assumed_units: dict[str, str]
    max_distance_km: float | None

    @property
    def year_of_model_year_one(self) -> int:
        """Forcing year that model year 1 sees."""
        return forcing_year(1, self.first_year, self.years, self.align_year)

    @property
    def description(self) -> dict[str, Any]:
        """Properties by which forcings are compared, as in the files of monthly means."""
        return {name: getattr(self, name) for name in ("kind", "product", "step_hours", "years")}


def read_forcing(given: Forcing, domain: LandCells | None) -> ForcingSummary:
    """Reads the headers of all forcing files and gives every cell its forcing point.

    Raises:
        InputError: months or variables are missing, twice there or out of order, files differ in grid,
            calendar or step, have other units, or a cell is too far from its forcing point.
    """
    record = open_record(given.kind, given.files, tuple(FORCING), given.first_year, given.years)
    mapping = None if domain is None else map_cells(record, domain, given.limit_km)
    return ForcingSummary(
        kind=given.kind,
        product=given.product,
        step_hours=sorted(set(record.step_hours.values())),
        first_year=given.first_year,
        years=given.years,
        align_year=given.align_year,
        files=len(record.files),
        made_of=dict(record.sources),
        assumed_units=dict(record.assumed_units),
        max_distance_km=None if mapping is None else float(mapping.distance_km.max()),
    )
