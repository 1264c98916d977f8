"""A restart under audit: the open file, its parameters, values in blocks, and counts that checks share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import netCDF4
import numpy as np

from phase_lib.elm.audit.check import Stage
from phase_lib.elm.blocks import Block, Blocks
from phase_lib.elm.constants import (
    EVERGREEN_PFTS,
    FILL_THRESHOLD,
    NATPFT,
    SPINUP_AD,
    SPINUP_NORMAL,
    WOODY_PFTS,
)
from phase_lib.elm.netcdf import Rows, get_variable
from phase_lib.elm.other_pools import Twin, twins_among
from phase_lib.elm.parameters import Parameters
from phase_lib.elm.restart import RestartHeader
from phase_lib.elm.soil_grid import column_stock
from phase_lib.elm.spinup import SlowRatio, slow_ratio
from phase_lib.elm.surface import Fields, open_fields
from phase_lib.elm.variables import (
    COLUMN_TOTALS,
    POOL_VARIABLES,
    SOIL_POOLS,
    TRUNCATION_LAYER,
    TRUNCATION_PATCH,
    VARIABLES,
    Level,
)

#: An isotope's share can be judged where the pool holds more (gC).
LEAST_CARBON = 1.0e-3

#: The parameters that checks use, where no parameter file is given.
STANDARD_PARAMETERS = Parameters(
    Path("standard parameters"),
    pft={
        "flivewd": np.where(np.isin(np.arange(NATPFT), (9, 10)), 0.5, 0.1),
        "woody": np.isin(np.arange(NATPFT), WOODY_PFTS).astype(np.float64),
        "evergreen": np.isin(np.arange(NATPFT), EVERGREEN_PFTS).astype(np.float64),
    },
    scalar={
        "k_s3": 0.001400980916,
        "k_s4": 0.0001000050003,
        "rf_s3s4": 0.55,
        "lwtop_ann": 0.7,
        "r_mort": 0.02,
        **{pool.cn: pool.start_cn for pool in SOIL_POOLS if pool.cn},
        **{pool.np_ratio: pool.start_cp / pool.start_cn for pool in SOIL_POOLS if pool.np_ratio},
    },
)
#: Pools whose stocks are compared with totals or with each other.
_IN_STOCKS = frozenset(name for parts in COLUMN_TOTALS.values() for name in parts)


@dataclass(frozen=True, eq=False)
class Values:
    """Values of one variable in a block.

    Attributes:
        name: variable on file.
        data: (row) or (row, levdecomp).
        least, most: bounds of a sound value; `least` is below 0 where negative values are right by design.
        below: the layers below the active ones (row, layer), where there are any.
    """

    name: str
    data: np.ndarray
    least: float = -math.inf
    most: float = math.inf
    below: np.ndarray | None = None

    @cached_property
    def finite(self) -> np.ndarray:
        """True where a value is a finite number."""
        return np.isfinite(self.data)

    @cached_property
    def fill(self) -> np.ndarray:
        """True where a value is fill."""
        return np.asarray(self.finite & (np.abs(self.data) >= FILL_THRESHOLD))

    @cached_property
    def good(self) -> np.ndarray:
        """True where a value is neither fill nor infinite nor NaN."""
        return np.asarray(self.finite & ~self.fill)


@dataclass(frozen=True, eq=False)
class TwinValues(Values):
    """The values of an isotope `twin` in a block of `rows`, with the `carbon` of its pool, like `data`."""

    twin: Twin = field(kw_only=True)
    carbon: np.ndarray = field(kw_only=True)
    rows: Block = field(kw_only=True)

    @cached_property
    def judged(self) -> np.ndarray:
        """Where there is enough carbon to judge the share of the isotope."""
        return np.asarray(self.good & (np.abs(self.carbon) > LEAST_CARBON))

    @cached_property
    def share(self) -> np.ndarray:
        """The isotope's share of the carbon, 0 where it is not judged."""
        return np.where(self.judged, self.data, 0.0) / np.where(self.judged, self.carbon, 1.0)


@dataclass(frozen=True, eq=False)
class PoolBlock:
    """The pools of a block, active layers alone; 0 where a value is not usable.

    Attributes:
        rows: of the block.
        pools: variable -> (row) or (row, levdecomp).
        good: variable -> where its values are usable, or True for all.
        raw: other variables as on file: leaf area and heights of patches, `scalaravg_col` of columns.
    """

    rows: Block
    pools: dict[str, np.ndarray] = field(default_factory=dict)
    good: dict[str, np.ndarray | np.bool_] = field(default_factory=dict)
    raw: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def stocks(self) -> dict[str, np.ndarray]:
        """Pools of columns in totals -> their sum over depth (row), g m-2."""
        return {name: column_stock(values) for name, values in self.pools.items() if name in _IN_STOCKS}

    @cached_property
    def natural(self) -> np.ndarray:
        """PFT of each patch (row), the last natural one for crops."""
        return np.clip(self.rows.pft, 0, NATPFT - 1)

    def holds(self, *names: str) -> bool:
        """True if it has all of these pools."""
        return all(name in self.pools for name in names)

    def stock(self, *names: str) -> np.ndarray:
        """Sum of the stocks of columns (row), g m-2; of missing pools 0."""
        return sum((self.stocks[n] for n in names if n in self.stocks), start=np.zeros(len(self.rows)))

    def sum(self, names: Collection[str]) -> np.ndarray:
        """Sum of some pools of patches (row)."""
        return sum((self.pools[name] for name in names), start=np.zeros(len(self.rows)))


_Shared = TypeVar("_Shared")


@dataclass(frozen=True)
class BlockRows:
    """Largest number of columns and of patches in a block."""

    columns: int = 1 << 12
    patches: int = 1 << 17


@dataclass(frozen=True, eq=False)
class Audited:
    """An open restart, and the files and parameters that it is checked with.

    Attributes:
        path, dataset, variables: the open file.
        header: of the restart.
        grid: its columns and patches.
        given: parameters of the run, or None.
        surface: surface file, or None.
        mortality_factor: `spinup_mortality_factor` of the run, or None.
        block_rows: rows of a block.
        closing: closes what checks open.
    """

    path: Path
    dataset: netCDF4.Dataset
    variables: Mapping[str, Rows]
    header: RestartHeader
    grid: Blocks
    given: Parameters | None
    surface: Path | None
    mortality_factor: float | None
    block_rows: BlockRows
    closing: ExitStack
    _shared: dict[Callable[[Audited], Any], Any] = field(default_factory=dict)

    @property
    def parameters(self) -> Parameters:
        """Parameters of the run, or standard ones."""
        return self.given or STANDARD_PARAMETERS

    @cached_property
    def slow(self) -> SlowRatio:
        """Soil4 : soil3 of an equilibrium."""
        return slow_ratio(self.parameters)

    @property
    def normal(self) -> bool:
        """True if it is flagged normal; without a flag it is neither this nor AD."""
        return self.header.spinup_state == SPINUP_NORMAL

    @property
    def ad(self) -> bool:
        """True if it is flagged AD."""
        return self.header.spinup_state == SPINUP_AD

    @cached_property
    def twins(self) -> dict[str, tuple[Twin, ...]]:
        """Carbon pool -> its isotopes on file."""
        return {
            pool: tuple(twin for twin in twins if self.has(twin.name, *POOL_VARIABLES[pool].dims))
            for pool, twins in twins_among(self.dataset.variables.keys()).items()
            if pool in POOL_VARIABLES
        }

    def seen(self, make: Callable[[Audited], _Shared]) -> _Shared:
        """The one object that several checks share, most often a tally; made at its first use."""
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast(_Shared, self._shared[make])

    def has(self, name: str, *dims: str) -> bool:
        """True if the file holds the variable with these dimensions.

        Raises:
            InputError: it holds no plain numbers.
        """
        if name not in self.dataset.variables or self.dataset[name].dimensions != dims:
            return False
        get_variable(self.path, self.dataset, name)
        return True

    @cached_property
    def pools(self) -> dict[Level, list[str]]:
        """Pools and sinks on file, of patches and of layers."""
        names = [*POOL_VARIABLES, *TRUNCATION_PATCH, *TRUNCATION_LAYER]
        there = [VARIABLES[name] for name in names if self.has(name, *VARIABLES[name].dims)]
        levels: tuple[Level, ...] = ("patch", "layer")
        return {level: [entry.name for entry in there if entry.level == level] for level in levels}

    def columns(self) -> Iterator[Block]:
        """Columns with biogeochemistry, a block at a time, in increasing order."""
        return self.grid.of_columns(self.block_rows.columns)

    def patches(self, *, covered: bool = True) -> Iterator[Block]:
        """Patches on them, a block at a time; those that cover ground alone, or all."""
        return self.grid.of_patches(self.block_rows.patches, covered=covered)

    def read(self, name: str, rows: Block) -> np.ndarray:
        """Values of a block's rows."""
        return np.asarray(rows.read(self.variables[name]), dtype=np.float64)

    def map(self, *names: str) -> Fields | None:
        """Fields of the surface file, open to the end of the audit; None without a file.

        Raises:
            InputError: one is missing, or the file is of another grid.
        """
        if self.surface is None:
            return None
        return self.closing.enter_context(open_fields(self.surface, names, self.grid.lat, self.grid.lon))


class Tally(ABC):
    """Counts of all blocks, by which checks at the end judge; `Audited.seen` returns it.

    Attributes:
        stages: when it counts.
        audited: the restart.
    """

    stages: ClassVar[tuple[Stage, ...]] = ()

    def __init__(self, audited: Audited) -> None:
        self.audited = audited

    @abstractmethod
    def add(self, block: Any) -> None:
        """Adds the last argument of the checks of its stages."""
