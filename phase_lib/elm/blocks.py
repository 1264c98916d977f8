"""Where biogeochemistry runs in a restart, a block of rows at a time.

A restart of 260,000 cells has up to 5 million columns and 9 million patches, so nothing as long as these
dimensions, or as the cells, stays in memory: indices and coordinates are read where they are needed. Rows
may lie in any order; where those of a cell lie far apart, more is read along, and again for each block.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.constants import COLUMN_SOIL, LANDUNIT_CROP, LANDUNIT_SOIL, NATPFT
from phase_lib.elm.coordinates import check_coordinates
from phase_lib.elm.netcdf import Rows, get_variable

#: Rows at a time where only index variables are read.
INDEX_ROWS = 1 << 16
_PLACES = ("grid1d_lat", "grid1d_lon")
_KINDS = ("cols1d_ityplun", "cols1d_ityp")
_OF_PATCHES = ("pfts1d_column_index", "pfts1d_itypveg", "pfts1d_wtcol")
#: Variables whose values are rows or numbers of units.
_WHOLE = (
    *("pfts1d_column_index", "pfts1d_itypveg", "pfts1d_gridcell_index"),
    *("cols1d_gridcell_index", "cols1d_topounit_index", *_KINDS),
)
#: A restart whose patch weights miss 1 by more is not read. ELM's own limit, for the audit, is far smaller.
_READABLE_WEIGHT_SUM = 1.0e-6
#: One bit for each natural PFT.
_BIT = 2.0 ** np.arange(NATPFT)
#: Refusals of a restart: of one that was changed, and of one that is damaged.
restart_fault = partial(InputError, remedy="use the restart as ELM wrote it")
_damage = partial(InputError, remedy="the restart is damaged: use another copy")
#: 0-based cells of a range of rows.
_CellOf = Callable[[slice], np.ndarray]


def ranges(length: int, step: int) -> Iterator[slice]:
    """The rows of a dimension, `step` at a time."""
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


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


@dataclass(frozen=True)
class Columns:
    """What some columns of a restart are.

    Attributes:
        cell: 0-based cell of each (column).
        soil: True on columns of natural vegetation, landunit and column type 1 (column). A cell has one, or
            one in each of the topounits that divide it; none where nothing may grow.
        counts: True where biogeochemistry runs: soil, and active crop columns (column). Crop columns without
            weight are on file too and hold stale values or fill.
    """

    cell: np.ndarray
    soil: np.ndarray
    counts: np.ndarray

    def at(self, places: np.ndarray) -> Columns:
        """Those at some places among them (n)."""
        return Columns(self.cell[places], self.soil[places], self.counts[places])


class Blocks:
    """Blocks of the columns and patches of an open restart.

    Args:
        path: restart, for messages.
        dataset: the open file.
        rows: its variables, where they are read in another way than by the library.

    Attributes:
        ncells, ncolumns, npatches: number of grid cells, of columns and of patches.
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
        optional = ("cols1d_active",) if "cols1d_active" in self._rows else ()
        for name in (*_OF_PATCHES, *_PLACES, "cols1d_gridcell_index", *_KINDS, *optional):
            self._variable(name)
        self.npatches = int(dataset.dimensions["pft"].size)
        self.ncells = int(dataset.dimensions["gridcell"].size)
        self.ncolumns = int(dataset["cols1d_gridcell_index"].size)
        check_coordinates(path, self.lat, self.lon, _PLACES)
        has_soil = self._check_columns()
        soil = sum(np.count_nonzero(self.columns(rows).soil) for rows in ranges(self.ncolumns, INDEX_ROWS))
        self.divided = int(soil) > int(np.count_nonzero(has_soil))
        for rows_of_patches in ranges(self.npatches, INDEX_ROWS):
            self._refuse_patches_of_other_cells(rows_of_patches)
        self._scattered: dict[str, bool] = {}
        if self.divided:
            self._refuse_shared_topounits()
            self._scattered = {
                "column": self._is_scattered(self.ncolumns, self._cell_of_columns),
                "pft": self._is_scattered(self.npatches, self._cell_of_patches),
            }
        self._check_cover(has_soil)

    def reading(self, rows: Mapping[str, Rows]) -> Blocks:
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

    def columns(self, rows: slice) -> Columns:
        """What the columns of a range are, read from the open file."""
        landunit = np.asarray(self._rows["cols1d_ityplun"][rows])
        natural, crop = landunit == LANDUNIT_SOIL, landunit == LANDUNIT_CROP
        if "cols1d_active" in self._rows:
            crop &= np.asarray(self._rows["cols1d_active"][rows]) == 1
        soil = natural & (np.asarray(self._rows["cols1d_ityp"][rows]) == COLUMN_SOIL)
        return Columns(self._cell_of_columns(rows), soil, natural | crop)

    def columns_at(self, places: np.ndarray) -> Columns:
        """What columns (n) are; those that lie between them on file are read along."""
        if len(places) == 0:
            return self.columns(slice(0, 0))
        first = int(places.min())
        return self.columns(slice(first, int(places.max()) + 1)).at(places - first)

    def of_columns(self, step: int) -> Iterator[Block]:
        """Blocks of `step` columns; rows are those with biogeochemistry, and a block has at least one."""
        none = np.empty(0)
        for start, stop in self._spans("column", self.ncolumns, step, self._cell_of_columns):
            columns = self.columns(slice(start, stop))
            rows = np.flatnonzero(columns.counts)
            if len(rows):
                on = columns.at(rows)
                yield Block(start, stop, rows, on.cell, on.soil, rows + start, none, none)

    def of_patches(self, step: int, *, covered: bool = True) -> Iterator[Block]:
        """Blocks of `step` patches; rows are those on columns with biogeochemistry, at least one.

        Args:
            step: patches of a block.
            covered: only patches that cover ground.
        """
        for start, stop in self._spans("pft", self.npatches, step, self._cell_of_patches):
            index, pft, wtcol = (np.asarray(self._rows[name][start:stop]) for name in _OF_PATCHES)
            column = index - 1
            on = self.columns_at(column)
            rows = np.flatnonzero(on.counts & (wtcol > 0.0) if covered else on.counts)
            if len(rows):
                on = on.at(rows)
                yield Block(start, stop, rows, on.cell, on.soil, column[rows], pft[rows], wtcol[rows])

    def has_biogeochemistry(self) -> np.ndarray:
        """True for cells that have a column with biogeochemistry (gridcell)."""
        return self._cells_where(lambda columns: columns.counts)

    def _spans(self, dimension: str, length: int, step: int, cell_of: _CellOf) -> Iterator[tuple[int, int]]:
        """Ranges of about `step` rows, of whole cells where topounits divide them."""
        if self._scattered.get(dimension, False):
            step = length
        start = 0
        while start < length:
            stop = min(start + step, length)
            if self.divided and stop < length:
                stop = self._end_of_cell(start, stop, length, cell_of)
            yield start, stop
            start = stop

    @staticmethod
    def _end_of_cell(start: int, stop: int, length: int, cell_of: _CellOf) -> int:
        """The last row from `start` to `stop` at which a cell ends, or else the first one after it."""
        last = -1
        while True:
            # One row more shows whether the last one ends its cell.
            ends = np.flatnonzero(np.diff(cell_of(slice(start, stop + 1))))
            if len(ends):
                return start + int(ends[last]) + 1
            if stop >= length:
                return length
            stop, last = min(2 * stop - start, length), 0

    def _is_scattered(self, length: int, cell_of: _CellOf) -> bool:
        """True if the rows of a cell do not follow each other."""
        seen, runs, last = np.zeros(self.ncells, dtype=bool), 0, -1
        for rows in ranges(length, INDEX_ROWS):
            cell = cell_of(rows)
            seen[cell] = True
            runs += int(np.count_nonzero(np.diff(cell, prepend=last)))
            last = cell[-1]
        return runs > int(np.count_nonzero(seen))

    def _cell_of_columns(self, rows: slice) -> np.ndarray:
        return np.asarray(self._rows["cols1d_gridcell_index"][rows]) - 1

    def _cell_of_patches(self, rows: slice) -> np.ndarray:
        return self._cells_at(np.asarray(self._rows["pfts1d_column_index"][rows]) - 1)

    def _cells_at(self, places: np.ndarray) -> np.ndarray:
        """0-based cells of columns (n), at least one."""
        first = int(places.min())
        return self._cell_of_columns(slice(first, int(places.max()) + 1))[places - first]

    def _variable(self, name: str) -> Rows:
        get_variable(self._path, self._dataset, name, whole=name in _WHOLE)
        return self._rows[name]

    def _index(self, name: str, dimension: str, rows: slice) -> np.ndarray:
        """A 1-based index variable as 0-based rows of the dimension that it points into."""
        if dimension not in self._dataset.dimensions:
            expected = f"the one that {name} points into"
            raise restart_fault(self._path, f"dimension {dimension} is missing", expected=expected)
        index, size = np.asarray(self._variable(name)[rows]), self._dataset.dimensions[dimension].size
        if np.any((index < 1) | (index > size)):
            index = np.asarray(self._variable(name)[:])
            wrong = np.flatnonzero((index < 1) | (index > size))
            first = wrong[0]
            raise _damage(
                self._path,
                f"{name}: {len(wrong)} entries point nowhere, first entry {first + 1} with {index[first]}",
                expected=f"1 to {size}, the rows of dimension {dimension}",
            )
        return index - 1

    def _cells_where(self, chosen: Callable[[Columns], np.ndarray]) -> np.ndarray:
        """True for cells in which a column is chosen (gridcell)."""
        cells = np.zeros(self.ncells, dtype=bool)
        for rows in ranges(self.ncolumns, INDEX_ROWS):
            columns = self.columns(rows)
            cells[columns.cell[chosen(columns)]] = True
        return cells

    def _check_columns(self) -> np.ndarray:
        """Refuses columns that point nowhere, and files without natural vegetation.

        Returns:
            True for cells that have a soil column (gridcell).
        """
        for rows in ranges(self.ncolumns, INDEX_ROWS):
            self._index("cols1d_gridcell_index", "gridcell", rows)
        has_soil = self._cells_where(lambda columns: columns.soil)
        if not np.any(has_soil):
            what = "cols1d_ityplun, cols1d_ityp: no column is of natural vegetation"
            raise restart_fault(self._path, what, expected="landunit and column type 1")
        return has_soil

    def _refuse_shared_topounits(self) -> None:
        """Refuses several soil columns in one topounit, or in one cell where the file has no topounits."""
        columns = self.columns(slice(0, self.ncolumns))
        unit, name = columns.cell, "cell"
        if "cols1d_topounit_index" in self._rows:
            unit, name = self._index("cols1d_topounit_index", "topounit", slice(None)), "topounit"
            self._refuse_topounits_of_other_cells(columns, unit)
        counts = np.bincount(unit[columns.soil])
        if np.any(counts > 1):
            bad = int(np.argmax(counts > 1))
            raise InputError(
                self._path,
                f"cols1d_ityp: {name} {bad + 1} has {counts[bad]} soil columns",
                expected="one in each topounit at most",
                remedy="use a run without hillslope or tundra columns",
            )

    def _refuse_topounits_of_other_cells(self, columns: Columns, unit: np.ndarray) -> None:
        """Refuses soil columns whose topounit (column) lies in another cell than they do."""
        if "topo1d_gridcell_index" not in self._rows:
            return
        cell = self._index("topo1d_gridcell_index", "gridcell", slice(None))[unit]
        strange = columns.soil & (cell != columns.cell)
        if np.any(strange):
            first = int(np.argmax(strange))
            raise _damage(
                self._path,
                f"cols1d_topounit_index: column {first + 1} of cell {columns.cell[first] + 1} lies on "
                f"topounit {unit[first] + 1} of cell {cell[first] + 1}",
                expected="a topounit of its cell",
            )

    def _check_cover(self, has_soil: np.ndarray) -> None:
        """Refuses patches that appear twice on a soil column or leave ground of it uncovered.

        Args:
            has_soil: cells that have a soil column (gridcell).
        """
        # Its cell identifies a soil column unless topounits divide cells.
        soil = self.columns(slice(0, self.ncolumns)).soil if self.divided else has_soil
        total, bits, known = np.zeros(len(soil)), np.zeros(len(soil)), 0
        for block in self.of_patches(INDEX_ROWS, covered=False):
            place = block.column if self.divided else block.cell
            natural = block.natural
            add_by_place(total, place[block.soil], block.wtcol[block.soil])
            add_by_place(bits, place[natural], _BIT[block.pft[natural]])
            known += int(np.count_nonzero(natural))
        self._refuse_partial_cover(total, soil)
        # Bits that are added twice carry, which leaves fewer of them.
        if np.bitwise_count(bits.astype(np.int64)).sum() != known:
            what = "pfts1d_itypveg: a PFT appears twice on one soil column"
            raise InputError(self._path, what, expected="once")

    def _refuse_patches_of_other_cells(self, rows: slice) -> None:
        """Refuses patches that point nowhere, or whose column lies in another cell than they do."""
        column = self._index("pfts1d_column_index", "column", rows)
        if "pfts1d_gridcell_index" not in self._rows:
            return
        cell, other = self._index("pfts1d_gridcell_index", "gridcell", rows), self._cells_at(column)
        strange = other != cell
        if np.any(strange):
            first = int(np.argmax(strange))
            raise _damage(
                self._path,
                f"pfts1d_column_index: patch {rows.start + first + 1} of cell {cell[first] + 1} lies on "
                f"column {column[first] + 1} of cell {other[first] + 1}",
                expected="the cell of pfts1d_gridcell_index",
            )

    def _refuse_partial_cover(self, total: np.ndarray, soil: np.ndarray) -> None:
        """Refuses sums of weights other than 1 on soil, by cell or, where cells are divided, by column."""
        wrong = np.flatnonzero(soil & ~(np.abs(total - 1.0) <= _READABLE_WEIGHT_SUM))
        if len(wrong):
            first = int(wrong[0])
            cell = self._cell_of_columns(slice(first, first + 1))[0] if self.divided else first
            raise restart_fault(
                self._path,
                f"pfts1d_wtcol: the patches on the soil column of cell {cell + 1} sum to {total[first]:.9g}; "
                f"{len(wrong)} such columns",
                expected=f"1 within {_READABLE_WEIGHT_SUM:g}",
            )
