"""Where biogeochemistry runs in a restart, a block of rows at a time.

A restart of 260,000 cells has up to 5 million columns and 9 million patches, so nothing as long as these
dimensions is held here but the cell of each column and two flags; coordinates are read where they are needed.
Rows may lie in any order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import COLUMN_SOIL, LANDUNIT_CROP, LANDUNIT_SOIL, NATPFT
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import Rows, get_variable

#: Patches looked at a time where only their index variables are read.
INDEX_ROWS = 1 << 16
_PLACES = ("grid1d_lat", "grid1d_lon")
_OF_PATCHES = ("pfts1d_column_index", "pfts1d_itypveg", "pfts1d_wtcol")
#: Variables whose values are rows or numbers of units.
_WHOLE = (
    "pfts1d_column_index",
    "pfts1d_itypveg",
    "pfts1d_gridcell_index",
    "cols1d_gridcell_index",
    "cols1d_topounit_index",
    "cols1d_ityplun",
    "cols1d_ityp",
)
#: A restart whose patch weights miss 1 by more is not read. ELM asks for much less, which an audit tells.
_READABLE_WEIGHT_SUM = 1.0e-6


def add_by_place(totals: np.ndarray, place: np.ndarray, values: np.ndarray) -> None:
    """Adds values (n) to the totals at their places (n), which may come several times."""
    if len(place):
        first = int(place.min())
        sums = np.bincount(place - first, values)
        totals[first : first + len(sums)] += sums


@dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` of a dimension, and those among them that count.

    Attributes:
        start, stop: rows on file.
        rows: columns with biogeochemistry, or patches on one, counted from `start` (row).
        cell: 0-based cell of each (row).
        soil: True on a column of natural vegetation (row).
        column: column of each (row).
        pft: PFT number of patches (row); empty for columns.
        wtcol: share of the column under patches (row); empty for columns.
    """

    start: int
    stop: int
    rows: np.ndarray
    cell: np.ndarray
    soil: np.ndarray
    column: np.ndarray
    pft: np.ndarray
    wtcol: np.ndarray

    def __len__(self) -> int:
        """Number of rows that count."""
        return len(self.rows)

    @property
    def natural(self) -> np.ndarray:
        """Patches of one of the 17 PFTs on the natural vegetation's column (row)."""
        return np.asarray(self.soil & (self.pft >= 0) & (self.pft < NATPFT))

    def read(self, variable: Rows) -> np.ndarray:
        """Values of the rows that count (row, ...), read as one slab."""
        slab = np.asarray(variable[self.start : self.stop])
        return slab if len(self.rows) == len(slab) else slab[self.rows]

    def write(self, variable: Rows, values: np.ndarray) -> None:
        """Writes the rows that count; what lies between them stays."""
        if len(self.rows) < self.stop - self.start:
            slab = np.asarray(variable[self.start : self.stop])
            slab[self.rows] = values
            values = slab
        variable[self.start : self.stop] = values


class Blocks:
    """Blocks of the columns and patches of an open restart.

    Args:
        path: restart, for messages.
        dataset: the open file.
        rows: its variables, where they are read in another way than by the library.

    Attributes:
        ncells, npatches: number of grid cells and of patches.
        columns: True where biogeochemistry runs: soil, and active crop columns (column). Crop columns
            without weight are on file too and hold stale values or fill.
        divided: True if topounits divide the natural vegetation of a cell. A block then holds whole cells,
            and all of the file if the rows of a cell do not follow each other.

    Raises:
        InputError: coordinates or indices point nowhere or contradict each other, a topounit has several
            soil columns, or the patches of one do not make up the whole of it.
    """

    def __init__(
        self, path: str | Path, dataset: netCDF4.Dataset, rows: Mapping[str, Rows] | None = None
    ) -> None:
        self._path, self._dataset = Path(path), dataset
        self._rows = dataset.variables if rows is None else rows
        for name in _OF_PATCHES:
            self._variable(name)
        self.npatches = int(dataset.dimensions["pft"].size)
        for name in _PLACES:
            self._variable(name)
        self.ncells = int(dataset.dimensions["gridcell"].size)
        check_coordinates(path, self.lat, self.lon, _PLACES)
        self._cell = self._index("cols1d_gridcell_index", "gridcell", slice(None))
        self._soil = self._find_soil()
        self.divided = bool(np.any(np.bincount(self._cell[self._soil]) > 1))
        self._ends_of: dict[str, np.ndarray] = {}
        if self.divided:
            self._refuse_shared_topounits()
        self.columns = self._with_biogeochemistry()
        self._check_patches()

    def of(self, rows: Mapping[str, Rows]) -> Blocks:
        """The same blocks, read from a copy of the file."""
        other = copy.copy(self)
        other._rows = rows
        return other

    @property
    def lat(self) -> np.ndarray:
        """Latitudes of the cells (gridcell), degrees, read from the open file."""
        return np.asarray(self._rows[_PLACES[0]][:], dtype=np.float64)

    @property
    def lon(self) -> np.ndarray:
        """Longitudes of the cells (gridcell), degrees, convention of the file, read from the open file."""
        return np.asarray(self._rows[_PLACES[1]][:], dtype=np.float64)

    def place_of(self, cell: int) -> tuple[float, float]:
        """Latitude and longitude of a cell, degrees, read from the open file."""
        lat, lon = (float(self._rows[name][cell : cell + 1][0]) for name in _PLACES)
        return lat, lon

    @property
    def soil_columns(self) -> np.ndarray:
        """Columns of natural vegetation, landunit and column type 1, in increasing order (soil).

        A cell has one, or one in each of the topounits that divide it; none where nothing may grow.
        """
        return np.flatnonzero(self._soil)

    def of_columns(self, step: int) -> Iterator[Block]:
        """Blocks of `step` columns; rows are those with biogeochemistry, and a block has at least one."""
        none = np.empty(0)
        for start, stop in self._spans("column", len(self.columns), step, lambda rows: self._cell[rows]):
            rows = np.flatnonzero(self.columns[start:stop])
            if len(rows):
                column = rows + start
                yield Block(start, stop, rows, self._cell[column], self._soil[column], column, none, none)

    def of_patches(self, step: int, *, covered: bool = True) -> Iterator[Block]:
        """Blocks of `step` patches; rows are those on columns with biogeochemistry, at least one.

        Args:
            step: patches of a block.
            covered: only patches that cover ground.
        """
        for start, stop in self._spans("pft", self.npatches, step, self._cell_of_patches):
            column, pft, wtcol = (np.asarray(self._rows[name][start:stop]) for name in _OF_PATCHES)
            counts = self.columns[column - 1]
            if covered:
                counts &= wtcol > 0.0
            rows = np.flatnonzero(counts)
            if len(rows):
                on = column[rows] - 1
                yield Block(start, stop, rows, self._cell[on], self._soil[on], on, pft[rows], wtcol[rows])

    def cells_with_biogeochemistry(self) -> np.ndarray:
        """0-based cells that have a column with biogeochemistry, increasing."""
        return np.flatnonzero(np.bincount(self._cell[self.columns], minlength=self.ncells))

    def _spans(
        self, dimension: str, length: int, step: int, cell_of: Callable[[slice], np.ndarray]
    ) -> Iterator[tuple[int, int]]:
        """Ranges of about `step` rows, of whole cells where topounits divide them."""
        if not self.divided:
            for start in range(0, length, step):
                yield start, min(start + step, length)
            return
        ends = self._ends(dimension, length, cell_of)
        start = 0
        while start < length:
            # The last cell that ends within the step, or else the first.
            last = np.searchsorted(ends, start + step, side="right") - 1
            stop = int(ends[max(last, np.searchsorted(ends, start, side="right"))])
            yield start, stop
            start = stop

    def _ends(self, dimension: str, length: int, cell_of: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Where the rows of cells end; the end of all where those of a cell do not follow each other."""
        if dimension not in self._ends_of:
            ends, seen, last = [], np.zeros(self.ncells, dtype=bool), -1
            for start in range(0, length, INDEX_ROWS):
                cell = cell_of(slice(start, start + INDEX_ROWS))
                seen[cell] = True
                ends.append(start + np.flatnonzero(np.diff(cell, prepend=last)))
                last = cell[-1]
            # The first cell starts at 0, where none ends.
            found = np.append(np.concatenate(ends)[1:], length)
            scattered = len(found) > np.count_nonzero(seen)
            self._ends_of[dimension] = np.array([length]) if scattered else found
        return self._ends_of[dimension]

    def _cell_of_patches(self, rows: slice) -> np.ndarray:
        return np.asarray(self._cell[np.asarray(self._rows["pfts1d_column_index"][rows]) - 1])

    def cells_of(self, columns: np.ndarray) -> np.ndarray:
        """0-based cell of columns (n)."""
        return np.asarray(self._cell[columns])

    def _variable(self, name: str) -> Rows:
        get_variable(self._path, self._dataset, name, whole=name in _WHOLE)
        return self._rows[name]

    def _index(self, name: str, dimension: str, rows: slice) -> np.ndarray:
        """A 1-based index variable as 0-based rows of the dimension that it points into."""
        if dimension not in self._dataset.dimensions:
            raise InputError(
                self._path,
                f"dimension {dimension} is missing",
                expected=f"the one that {name} points into",
                remedy="use the restart as ELM wrote it",
            )
        index, size = np.asarray(self._variable(name)[rows]), self._dataset.dimensions[dimension].size
        wrong = (index < 1) | (index > size)
        if np.any(wrong):
            index = np.asarray(self._variable(name)[:])
            wrong = (index < 1) | (index > size)
            first = int(np.argmax(wrong))
            raise InputError(
                self._path,
                f"{name}: {np.count_nonzero(wrong)} entries point nowhere, first entry {first + 1} "
                f"with {index[first]}",
                expected=f"1 to {size}, the rows of dimension {dimension}",
                remedy="the restart is damaged: use another copy",
            )
        return index - 1

    def _find_soil(self) -> np.ndarray:
        """True on columns of natural vegetation (column)."""
        soil = np.asarray(self._variable("cols1d_ityplun")[:]) == LANDUNIT_SOIL
        soil &= np.asarray(self._variable("cols1d_ityp")[:]) == COLUMN_SOIL
        if not np.any(soil):
            raise InputError(
                self._path,
                "cols1d_ityplun, cols1d_ityp: no column is of natural vegetation",
                expected="landunit and column type 1",
                remedy="use the restart as ELM wrote it",
            )
        return soil

    def _refuse_shared_topounits(self) -> None:
        """Refuses several soil columns in one topounit, or in one cell where topounits are not told."""
        unit, name = self._cell, "cell"
        if "cols1d_topounit_index" in self._rows:
            unit, name = self._index("cols1d_topounit_index", "topounit", slice(None)), "topounit"
            self._refuse_topounits_of_other_cells(unit)
        counts = np.bincount(unit[self._soil])
        if np.any(counts > 1):
            bad = int(np.argmax(counts > 1))
            raise InputError(
                self._path,
                f"cols1d_ityp: {name} {bad + 1} has {counts[bad]} soil columns",
                expected="one in each topounit at most",
                remedy="use a run without hillslope or tundra columns",
            )

    def _refuse_topounits_of_other_cells(self, unit: np.ndarray) -> None:
        """Refuses soil columns whose topounit (column) lies in another cell than they do."""
        if "topo1d_gridcell_index" not in self._rows:
            return
        cell = self._index("topo1d_gridcell_index", "gridcell", slice(None))[unit]
        strange = self._soil & (cell != self._cell)
        if np.any(strange):
            first = int(np.argmax(strange))
            raise InputError(
                self._path,
                f"cols1d_topounit_index: column {first + 1} of cell {self._cell[first] + 1} lies on "
                f"topounit {unit[first] + 1} of cell {cell[first] + 1}",
                expected="a topounit of its cell",
                remedy="the restart is damaged: use another copy",
            )

    def _with_biogeochemistry(self) -> np.ndarray:
        landunit = np.asarray(self._variable("cols1d_ityplun")[:])
        crop = landunit == LANDUNIT_CROP
        if "cols1d_active" in self._rows:
            crop &= np.asarray(self._variable("cols1d_active")[:]) == 1
        return np.asarray((landunit == LANDUNIT_SOIL) | crop)

    def _check_patches(self) -> None:
        """Refuses patches that point nowhere or to another cell, appear twice or leave ground uncovered."""
        for start in range(0, self.npatches, INDEX_ROWS):
            self._refuse_patches_of_other_cells(slice(start, min(start + INDEX_ROWS, self.npatches)))
        columns = self.soil_columns
        seen, known = np.zeros(len(columns) * NATPFT, dtype=bool), 0
        total = np.zeros(len(columns))
        for block in self.of_patches(INDEX_ROWS, covered=False):
            natural = block.natural[block.soil]
            place = np.searchsorted(columns, block.column[block.soil])
            add_by_place(total, place, block.wtcol[block.soil])
            seen[place[natural] * NATPFT + block.pft[block.soil][natural]] = True
            known += int(np.count_nonzero(natural))
        self._refuse_partial_cover(total, columns)
        if np.count_nonzero(seen) != known:
            raise InputError(
                self._path, "pfts1d_itypveg: a PFT appears twice on one soil column", expected="once"
            )

    def _refuse_patches_of_other_cells(self, rows: slice) -> None:
        """Refuses patches whose column lies in another cell than they do."""
        column = self._index("pfts1d_column_index", "column", rows)
        if "pfts1d_gridcell_index" not in self._rows:
            return
        cell = self._index("pfts1d_gridcell_index", "gridcell", rows)
        strange = self._cell[column] != cell
        if np.any(strange):
            first = int(np.argmax(strange))
            raise InputError(
                self._path,
                f"pfts1d_column_index: patch {rows.start + first + 1} of cell {cell[first] + 1} lies on "
                f"column {column[first] + 1} of cell {self._cell[column[first]] + 1}",
                expected="the cell of pfts1d_gridcell_index",
                remedy="the restart is damaged: use another copy",
            )

    def _refuse_partial_cover(self, total: np.ndarray, columns: np.ndarray) -> None:
        wrong = ~(np.abs(total - 1.0) <= _READABLE_WEIGHT_SUM)
        if np.any(wrong):
            first = int(np.argmax(wrong))
            cell = self._cell[columns[first]]
            raise InputError(
                self._path,
                f"pfts1d_wtcol: the patches on the soil column of cell {cell + 1} sum to {total[first]:.9g}; "
                f"{np.count_nonzero(wrong)} such columns",
                expected=f"1 within {_READABLE_WEIGHT_SUM:g}",
                remedy="use the restart as ELM wrote it",
            )
