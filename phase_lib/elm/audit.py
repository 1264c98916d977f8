"""Is a restart sound? ELM swallows most damage without a word, so every value is looked at here.

Errors are what ELM would carry on with and be wrong; notes are what an AD file has by nature or what
ELM diagnoses again. Variables are streamed in blocks of rows, so memory does not grow with the file.

A file flagged normal whose pools are still in AD space shows by ratios: soil4 : soil3 and dead : live
wood; so does one flagged AD whose pools are in normal space already. It cannot show by value in a pool that
was forgotten alone where these ratios stay in their range: soil3 (its factor is 2) and CWD (1.4), whose
normal stocks vary more than that from place to place. Leaving AD by an unfinished mean scalar shows by
stocks that no soil holds, a multiple of all SOM by SOM that its litter does not feed.

Where no parameter file is given, the standard values hold (C:N 12, 12, 10, 10; C:P 360, 360, 500, 500).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.elm.blocks import Block, Blocks, add_by_place, ranges
from phase_lib.elm.canopy import leaf_area
from phase_lib.elm.constants import (
    CASCADE_CTC,
    COLUMN_SOIL,
    EVERGREEN_PFTS,
    FILL_THRESHOLD,
    LANDUNIT_SOIL,
    NATPFT,
    PFT_NAMES,
    PFT_WEIGHT_TOLERANCE,
    SPINUP_AD,
    SPINUP_NORMAL,
    TRUNCATION,
    WEIGHT_SUM_TOLERANCE,
    WOODY_PFTS,
)
from phase_lib.elm.dead_wood import WOOD, WoodTally, normal_dead_live
from phase_lib.elm.netcdf import Rows, get_variable, open_dataset, open_with_rows
from phase_lib.elm.other_pools import ISOTOPES, Twin, other_pools, twin_of, twins_among
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.restart import restart_header
from phase_lib.elm.soil_grid import NLEVDECOMP, NLEVGRND, column_stock
from phase_lib.elm.spinup import MINERAL_P_DEPTH_M, SCALARAVG_YEARS, rates_were_divided
from phase_lib.elm.surface import Fields, open_fields
from phase_lib.elm.surface_content import check_phosphorus, refuse_fractions
from phase_lib.elm.tallies import DeadWood, Majority, Places, SlowSoil
from phase_lib.elm.variables import (
    COLUMN_TOTALS,
    DEAD_WOOD,
    MINERAL_N,
    ORGANS,
    POOL_VARIABLES,
    SOIL_POOL_INDEX,
    SOIL_POOLS,
    SOM,
    STAGES,
    SURFACE_P,
    TOTVEGC_POOLS,
    TRUNCATION_LAYER,
    TRUNCATION_PATCH,
    VARIABLES,
)

Severity = Literal["error", "note"]
Level = Literal["column", "layer", "patch", "cell"]

#: Dimensions whose lengths ELM compares with the run's.
REQUIRED_DIMENSIONS = (
    "gridcell",
    "topounit",
    "landunit",
    "column",
    "pft",
    "levgrnd",
    "levsno",
    "levurb",
    "levlak",
)
#: Soil N off C/CN: relative and absolute (gN m-3) tolerance; real files keep 1e-12.
_SOIL_N_RELATIVE, _SOIL_N_ABSOLUTE = 1.0e-3, 1.0e-7
#: Soil P: noted when off by the first factor, far off at the next. ELM truncates C before P and leaving
#: AD multiplies the remainder by F, so less than the last (gP m-3) is noise.
_SOIL_P_LOOSE, _SOIL_P_FAR, _SOIL_P_ABSOLUTE = 1.5, 3.0, 1.0e-3
#: Plant C:N off its parameter: noted by the first factor, an error by the second; below this (gC) noise.
_PLANT_LOOSE, _PLANT_FAR, _PLANT_ABSOLUTE = 1.02, 2.0, 1.0e-3
#: Litter and CWD beyond these C:N and C:P are not what decomposition makes; stocks below (gC m-3) are noise.
_LITTER_CN, _LITTER_CP, _LITTER_C = (5.0, 1000.0), (50.0, 50000.0), 1.0
#: An evergreen patch with less leaf carbon than this and other live carbon above the next (gC m-2).
_LEAFLESS, _ALIVE = 1.0e-2, 1.0
#: Live wood (gC m-2) from which the share of dead wood can be judged.
_LIVE_WOOD = 1.0
#: A median of log10(dead wood / its normal-mode expectation) below this is that of tenfold mortality.
_DEAD_WOOD_LOG = -0.7
#: The same in an AD file, above which wood seems to be in normal space already.
_DEAD_WOOD_NORMAL_LOG = -0.3
#: Soil3 (gC m-2) from which soil4 : soil3 of an AD file can be judged: a cold start has 38 gC m-2 of soil4.
SOIL3_JUDGED = 100.0
#: SOM that the ten layers would hold as peat of 60 kgC m-3; and what no soil on earth has (gC m-2).
_PEAT, _NO_SOIL = 2.3e5, 1.0e6
#: SOM (gC m-2) of a column that counts in what is compared with peat.
_SOM_JUDGED = 1.0e3
#: soil2 turns over as fast as the litter that feeds it, so their ratio is about 1 in either mode, with real
#: cells from 0.4 to 1.4; a median of the columns beyond this is not what litter made. Less (gC m-2) is noise.
_SOIL2_PER_LITTER, _SOIL2_JUDGED = 4.0, 10.0
#: No plant tissue has more N per C; where no parameter file is given (gC/gN).
_LEAST_PLANT_CN = 8.0
#: Lengths that ELM has for these, without and with its further layers.
_USUAL_LENGTHS = {"levgrnd": (NLEVGRND,), "levurb": (5,), "levlak": (10, 25), "levsno": (5, 12, 16)}
#: Index variables -> the dimension each of whose rows one of their entries points to.
_POINTERS = {
    "land1d_topounit_index": "topounit",
    "cols1d_gridcell_index": "gridcell",
    "cols1d_landunit_index": "landunit",
    "pfts1d_column_index": "column",
}
#: Median labile P below this share of the surface file's map, or below this (gP m-3), is what AD leaves.
_LABILE_SHARE, _LABILE_LEAST = 0.1, 0.1
#: Scalars averaged to `scalaravg_col` hardly exceed this.
_LARGEST_SCALAR = 1.5
#: Cover of a PFT, with what ELM tolerates, percent.
_MOST_PERCENT = 100.0 * (1.0 + PFT_WEIGHT_TOLERANCE)

#: An isotope's share can be judged where the pool holds more (gC); a negative share up to this is round-off.
_TWIN_CARBON, _TWIN_ROUND_OFF = 1.0e-3, 1.0e-2
#: Dead wood is centuries old at most, so its 14C differs less from that of the live wood beside it.
_MOST_AGE_CONTRAST = 4.0

#: What the checks need of a parameter file, where none is given.
_STANDARD_PARAMETERS = Parameters(
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

_COLUMN_ROWS, _PATCH_ROWS = 1 << 12, 1 << 17

#: Pools whose stocks are compared with totals or with each other.
_IN_STOCKS = frozenset(name for parts in COLUMN_TOTALS.values() for name in parts)
_USUAL_TOTALS = ("totlitc", "totsomc", "totlitp", "totsomp")


@dataclass
class Finding:
    """One fault, with the first place where it was met.

    Attributes:
        severity: `error` or `note`.
        variable: variable on file.
        problem: what is wrong, in a few words.
        expected: what is right.
        value: value found, None where the fault is not in a value.
        quantity: what the value is, where it is not the variable's own, for example a ratio.
        cell: 1-based row in the `gridcell` dimension.
        lat, lon: of the cell, degrees.
        pft: PFT number of the patch.
        layer: 1-based soil layer.
        further: places beyond the first with the same fault.
    """

    severity: Severity
    variable: str
    problem: str
    expected: str = ""
    value: float | None = None
    quantity: str = ""
    cell: int | None = None
    lat: float | None = None
    lon: float | None = None
    pft: int | None = None
    layer: int | None = None
    further: int = 0

    def line(self) -> str:
        """The finding in one line."""
        where = "" if self.cell is None else f" cell {self.cell} ({self.lat:.3f}, {self.lon:.3f})"
        if self.pft is not None:
            name = PFT_NAMES[self.pft] if self.pft < NATPFT else "crop"
            where += f" pft {self.pft} ({name})"
        if self.layer is not None:
            where += f" layer {self.layer}"
        quantity = f" {self.quantity}" if self.quantity else ""
        value = "" if self.value is None else f"{quantity} = {self.value:.9g}"
        expected = f"; expected {self.expected}" if self.expected else ""
        more = f"; {self.further} more like it" if self.further else ""
        return f"{self.severity}: {self.variable}{where}{value}: {self.problem}{expected}{more}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a value that is no number becomes text."""
        content = dict(vars(self))
        if self.value is not None and not math.isfinite(self.value):
            content["value"] = str(self.value)
        return content


@dataclass
class AuditReport:
    """What the audit of one restart found.

    Attributes:
        path: file.
        spinup_state: 0 normal, 1 AD, None where the file does not say.
        date: date on the model's clock, YYYY-MM-DD.
        findings: errors first.
    """

    path: str
    spinup_state: int | None
    date: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """Findings of severity `error`."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def notes(self) -> list[Finding]:
        """Findings of severity `note`."""
        return [finding for finding in self.findings if finding.severity == "note"]

    @property
    def count(self) -> str:
        """How many errors and notes, in words."""
        return f"{_counted(len(self.errors), 'error')}, {_counted(len(self.notes), 'note')}"

    def lines(self) -> list[str]:
        """One line per finding, and one that counts them."""
        state = {None: "spin-up state not given", 0: "normal mode", 1: "accelerated decomposition"}
        return [finding.line() for finding in self.findings] + [
            f"{self.path}: {self.date}, {state[self.spinup_state]}: {self.count}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "date": self.date,
            "spinup_state": self.spinup_state,
            "errors": len(self.errors),
            "notes": len(self.notes),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class _Standard:
    """Parameters that the checks use: the file's, or the standard ones.

    Attributes:
        soil_ratios: SOM pool -> C:N, C:P.
        soil4_soil3: soil4 : soil3 of a normal equilibrium.
        ad_ratio: what AD multiplies that ratio by, F3 / F4.
        dead_live: dead : live wood of a normal equilibrium (natpft), NaN where not woody.
        evergreen: (natpft), bool.
        file: the parameter file, None where none was given.
    """

    soil_ratios: dict[str, tuple[float, float]]
    soil4_soil3: float
    ad_ratio: float
    dead_live: np.ndarray
    evergreen: np.ndarray
    file: Parameters | None

    @property
    def soil4_soil3_between(self) -> float:
        """The soil4 : soil3 half way between AD and normal mode, on a logarithmic scale."""
        return self.soil4_soil3 * math.sqrt(self.ad_ratio)


def soil4_soil3_between(parameters: Parameters) -> float:
    """The soil4 : soil3 above which pools look like normal mode's, and below like AD's."""
    return _standard(parameters).soil4_soil3_between


def _standard(parameters: Parameters | None) -> _Standard:
    used = parameters or _STANDARD_PARAMETERS
    f3, f4 = (used.ad_factor(SOIL_POOLS[SOIL_POOL_INDEX[name]]) for name in ("soil3", "soil4"))
    return _Standard(
        {pool.name: used.soil_ratios(pool) for pool in SOIL_POOLS if pool.name in SOM},
        (1.0 - used.value("rf_s3s4")) * used.value("k_s3") / used.value("k_s4"),
        f3 / f4,
        normal_dead_live(used),
        used.per_pft("evergreen") == 1,
        parameters,
    )


def _beyond(found: np.ndarray, right: np.ndarray, factor: float, noise: np.ndarray | float) -> np.ndarray:
    """Where a value is off by more than a factor, either way, and by more than noise."""
    return np.asarray((found > right * factor + noise) | (found < right / factor - noise))


class _Stocks:
    """SOM and its litter by column, gC m-2.

    Attributes:
        peat: columns of natural vegetation with more SOM than peat, of those whose SOM can be judged.
        much, no_soil: columns with more than peat, and with more than any soil.
        unfed: columns of natural vegetation with more soil2 than their litter feeds.
    """

    def __init__(self) -> None:
        self.peat, self.unfed = Majority(), Majority()
        self.much, self.no_soil = Places(), Places()

    def add(self, stocks: dict[str, np.ndarray], rows: Block) -> None:
        """Adds a block: carbon by pool (row), gC m-2."""
        none = np.zeros(len(rows))
        som = sum((stocks.get(name, none) for name in COLUMN_TOTALS["totsomc"]), start=none)
        litter = stocks.get("litr2c_vr", none) + stocks.get("litr3c_vr", none)
        soil2, cell = stocks.get("soil2c_vr", none), rows.cell
        # Crop columns tell nothing of the whole file: there may be as many, and they get no prediction.
        natural = rows.soil
        self.peat.add(natural & (som > _SOM_JUDGED), som > _PEAT, cell, som)
        self.much.add((som > _PEAT) & (som <= _NO_SOIL), cell, som)
        self.no_soil.add(som > _NO_SOIL, cell, som)
        fed = natural & (litter > _SOIL2_JUDGED) & (soil2 > _SOIL2_JUDGED)
        share = soil2 / np.where(fed, litter, np.inf)
        self.unfed.add(fed, share > _SOIL2_PER_LITTER, cell, share)


class _Labile:
    """Labile P of the columns of natural vegetation.

    Attributes:
        poor: columns with next to nothing, or much less than the map says, of those that it gives any.
    """

    def __init__(self) -> None:
        self.poor = Majority()

    def add(self, labile: np.ndarray, rows: Block, mapped: Fields | None) -> None:
        """Adds a block.

        Args:
            labile: labile P (row, levdecomp), gP m-3.
            rows: the block.
            mapped: the surface file's LABILE_P, gP m-2, or None.
        """
        cell, found = rows.cell[rows.soil], labile[rows.soil].mean(axis=1)
        if mapped is None:
            self.poor.add(np.ones(len(cell), dtype=bool), found < _LABILE_LEAST, cell, found)
        else:
            right = mapped.read("LABILE_P", cell) / MINERAL_P_DEPTH_M
            rich = right > 0.0
            share = found / np.where(rich, right, np.inf)
            self.poor.add(rich, share < _LABILE_SHARE, cell, share)


class _Audit:
    """State of one audit: the open file, where its rows lie and what was found."""

    def __init__(
        self, path: Path, dataset: netCDF4.Dataset, variables: Mapping[str, Rows], standard: _Standard
    ) -> None:
        self.path, self.dataset, self.variables, self.standard = path, dataset, variables, standard
        self.header = restart_header(path, dataset)
        layers = self.header.dims.get("levgrnd", 0)
        if layers < NLEVDECOMP:
            raise InputError(
                path,
                f"dimension levgrnd has {layers} layers",
                expected=f"{NLEVGRND}, of which the upper {NLEVDECOMP} hold the soil pools",
                remedy="use the restart as ELM wrote it",
            )
        self.grid = Blocks(path, dataset, variables)
        self.normal = self.header.spinup_state == SPINUP_NORMAL
        self.ad = self.header.spinup_state == SPINUP_AD
        # A little above what an AD equilibrium has.
        self.slow = SlowSoil(
            self.grid.ncells,
            1.2 * standard.soil4_soil3 * standard.ad_ratio,
            standard.soil4_soil3_between,
            SOIL3_JUDGED,
        )
        self.dead = {organ: DeadWood(_DEAD_WOOD_LOG, _DEAD_WOOD_NORMAL_LOG) for organ in DEAD_WOOD}
        self.wood = WoodTally(standard.file or _STANDARD_PARAMETERS)
        self.low_wood = np.zeros(self.grid.ncells, dtype=bool)
        self.twins = {
            pool: tuple(twin for twin in twins if self.has(twin.name, *POOL_VARIABLES[pool].dims))
            for pool, twins in twins_among(dataset.variables.keys()).items()
            if pool in POOL_VARIABLES
        }
        self.twin_share = {twin.name: Majority() for twins in self.twins.values() for twin in twins}
        self._found: dict[tuple[str, str, str], Finding] = {}

    # -- findings ---------------------------------------------------------------------------------

    def add(self, severity: Severity, variable: str, problem: str, expected: str = "") -> None:
        """A finding about the file as a whole."""
        self._found.setdefault((severity, variable, problem), Finding(severity, variable, problem, expected))

    def add_where(
        self,
        severity: Severity,
        variable: str,
        problem: str,
        bad: np.ndarray,
        rows: Block | np.ndarray,
        level: Level,
        values: np.ndarray,
        expected: str | np.ndarray = "",
        quantity: str = "",
    ) -> None:
        """A finding about values.

        Args:
            severity: `error` or `note`.
            variable: variable on file.
            problem: what is wrong.
            bad: where the fault is, (rows) or (rows, layers).
            rows: block of the values, or the cell of each.
            level: what the rows are.
            values: like `bad`.
            expected: text, or the right values like `bad`.
            quantity: what the values are, where they are not the variable's own.
        """
        count = int(np.count_nonzero(bad))
        if count == 0:
            return
        key = (severity, variable, problem)
        if key in self._found:
            self._found[key].further += count
            return
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        cell = int((rows.cell if isinstance(rows, Block) else rows)[place[0]])
        lat, lon = self.grid.place_of(cell)
        self._found[key] = Finding(
            severity,
            variable,
            problem,
            expected if isinstance(expected, str) else f"{float(expected[place]):.9g}",
            float(values[place]),
            quantity,
            cell + 1,
            lat,
            lon,
            int(rows.pft[place[0]]) if isinstance(rows, Block) and level == "patch" else None,
            place[1] + 1 if len(place) > 1 else None,
            count - 1,
        )

    def add_places(
        self,
        severity: Severity,
        variable: str,
        problem: str,
        places: Places,
        expected: str = "",
        quantity: str = "",
    ) -> None:
        """A finding about places that were counted block by block; their value is left out if it is NaN."""
        if places.count:
            lat, lon = self.grid.place_of(places.cell)
            self._found[severity, variable, problem] = Finding(
                severity,
                variable,
                problem,
                expected,
                None if math.isnan(places.value) else places.value,
                quantity,
                places.cell + 1,
                lat,
                lon,
                further=places.count - 1,
            )

    def findings(self) -> list[Finding]:
        """All findings, errors first, in the order they were met."""
        return sorted(self._found.values(), key=lambda finding: finding.severity != "error")

    # -- reading ----------------------------------------------------------------------------------

    def has(self, name: str, *dims: str) -> bool:
        """True if the file holds the variable with these dimensions.

        Raises:
            InputError: it holds no plain numbers.
        """
        held = name in self.dataset.variables and self.dataset[name].dimensions == dims
        if held:
            get_variable(self.path, self.dataset, name)
        return held

    def blocks(self, level: Level) -> Iterator[Block]:
        """Active rows, a block at a time, in increasing order."""
        if level == "patch":
            return self.grid.of_patches(_PATCH_ROWS)
        return self.grid.of_columns(_COLUMN_ROWS)

    def read(self, name: str, rows: Block) -> np.ndarray:
        """Values of a block's rows."""
        return np.asarray(rows.read(self.variables[name]), dtype=np.float64)

    @staticmethod
    def _sound_at_a_glance(name: str, values: np.ndarray) -> bool:
        """True if no value is fill, NaN, beyond all measure, or negative where it must not be."""
        entry = VARIABLES[name]
        # A comparison with NaN is false.
        return bool(values.min() >= entry.least and values.max() <= entry.most)

    def sound(
        self, name: str, values: np.ndarray, rows: Block, level: Level
    ) -> tuple[np.ndarray, np.ndarray | np.bool_]:
        """Reports fill, NaN, values beyond all measure and negative ones.

        Returns:
            The values, with 0 for those that are not usable; and a mask of the usable ones, or True for all.
        """
        if self._sound_at_a_glance(name, values):
            return values, np.True_
        entry = VARIABLES[name]
        finite = np.isfinite(values)
        fill = finite & (np.abs(values) >= FILL_THRESHOLD)
        self.add_where(
            "error", name, "is not a finite number", ~finite, rows, level, values, "a finite number"
        )
        self.add_where("error", name, "is fill in an active place", fill, rows, level, values, "a pool")
        good = np.asarray(finite & ~fill)
        self.add_where(
            "error",
            name,
            "is more than any ecosystem holds",
            good & ((values > entry.most) | (entry.signed & (values < entry.least))),
            rows,
            level,
            values,
            f"{entry.most:g} at most" + (f", {entry.least:g} at least" if entry.signed else ""),
        )
        if not entry.signed:
            self.add_where(
                "error", name, "is negative", good & (values < -TRUNCATION), rows, level, values, "0 or more"
            )
            tiny = good & (values < 0.0) & (values >= -TRUNCATION)
            self.add_where(
                "note", name, "is negative by less than ELM truncates", tiny, rows, level, values, "0 or more"
            )
        return np.where(good, values, 0.0), good

    # -- whole-file checks ------------------------------------------------------------------------

    def check_header(self) -> None:
        """Dimensions, variables and the spin-up flag."""
        dims = self.dataset.dimensions
        for name in REQUIRED_DIMENSIONS:
            if name not in dims:
                self.add(
                    "error", name, "dimension is missing: ELM aborts", "every dimension of an ELM restart"
                )
        self._check_lengths({name: dimension.size for name, dimension in dims.items()})
        for name, entry in POOL_VARIABLES.items():
            if name not in self.dataset.variables:
                self.add(
                    "error", name, "pool is missing: ELM aborts or cold-starts it", f"{name}{entry.dims}"
                )
            elif self.dataset[name].dimensions != entry.dims:
                self.add("error", name, f"has dimensions {self.dataset[name].dimensions}", str(entry.dims))
        for name in (*_USUAL_TOTALS, "totvegc"):
            if name not in self.dataset.variables:
                self.add("note", name, "total is missing; ELM computes it from the pools")
        if self.header.decomp_cascade_state not in (None, CASCADE_CTC):
            self.add("error", "decomp_cascade_state", "is not that of the CTC cascade", f"{CASCADE_CTC}")
        if self.header.spinup_state is None:
            self.add(
                "error",
                "spinup_state",
                "is missing; ELM takes the state of the namelist and converts nothing",
                "0 (normal) or 1 (AD)",
            )

    def check_other_pools(self) -> None:
        """Isotope twins that are missing or of other dimensions, and pools that are not known here."""
        held = {
            name: variable.dimensions
            for name, variable in self.dataset.variables.items()
            if variable.dtype != str and variable.dtype.kind == "f"
        }
        carbon = [name for name, entry in POOL_VARIABLES.items() if entry.element == "c"]
        for isotope in ISOTOPES:
            twins = {twin_of(name, isotope).name: POOL_VARIABLES[name].dims for name in carbon}
            missing = [name for name in twins if name not in held]
            if len(missing) < len(twins):
                for name in twins:
                    if held.get(name, twins[name]) != twins[name]:
                        self.add("error", name, f"has dimensions {held[name]}", str(twins[name]))
                if missing:
                    self.add(
                        "note",
                        missing[0],
                        f"{len(missing)} of {len(twins)} pools have no {isotope.name} beside others that do; "
                        "ELM makes it up from a ratio of its own",
                    )
        for name in other_pools(held).unknown:
            self._note_unknown(name, "patch" if held[name] == ("pft",) else "layer")

    def _note_unknown(self, name: str, level: Level) -> None:
        """A pool that no rule here takes out of AD, with the first place where it holds something."""
        filled = Places()
        for rows in self.blocks(level):
            values = self.read(name, rows)
            values = values if values.ndim == 1 else np.abs(values).max(axis=1)
            holds = (np.abs(values) < FILL_THRESHOLD) & (values != 0.0)
            filled.add(holds, rows.cell, values)
        problem = "looks like a pool and is none that is known here: it stays as it is on leaving AD"
        if filled.count:
            self.add_places("note", name, problem, filled)
        else:
            self.add("note", name, f"{problem}; it holds nothing where biogeochemistry runs")

    def _check_lengths(self, sizes: dict[str, int]) -> None:
        """Lengths of dimensions against ELM's and each other, and every row pointed to by a smaller unit."""
        for name, usual in _USUAL_LENGTHS.items():
            if name in sizes and sizes[name] not in usual:
                self.add(
                    "error",
                    name,
                    f"dimension has length {sizes[name]}: ELM aborts",
                    " or ".join(str(length) for length in usual),
                )
        for name, parts in (("levtot", ("levsno", "levgrnd")), ("levsno1", ("levsno",))):
            if name in sizes and all(part in sizes for part in parts):
                right = sum(sizes[part] for part in parts) + (name == "levsno1")
                if sizes[name] != right:
                    self.add("error", name, f"dimension has length {sizes[name]}: ELM aborts", str(right))
        for name, dimension in _POINTERS.items():
            if name in self.dataset.variables and dimension in sizes:
                self._check_pointers(name, dimension, sizes[dimension])

    def _check_pointers(self, name: str, dimension: str, size: int) -> None:
        length = get_variable(self.path, self.dataset, name).shape[0]
        pointed = np.zeros(size, dtype=bool)
        outside = 0
        for rows in ranges(length, _PATCH_ROWS):
            row = np.asarray(self.variables[name][rows]).astype(np.int64) - 1
            inside = (row >= 0) & (row < size)
            pointed[row[inside]] = True
            outside += int(np.count_nonzero(~inside))
        if outside:
            self.add(
                "error", name, f"{outside} entries point outside {dimension}: ELM aborts", f"1 to {size}"
            )
        alone = int(np.count_nonzero(~pointed))
        if alone:
            self.add(
                "error",
                dimension,
                f"{alone} of {size} rows are not pointed to by {name}: rows are missing, ELM aborts",
                "every row",
            )

    def check_weights(self) -> None:
        """Weights of the patches on each column."""
        total = np.zeros(self.grid.ncolumns)
        for block in self.grid.of_patches(_PATCH_ROWS, covered=False):
            share = block.wtcol
            bad = ~np.isfinite(share) | (share < 0.0) | (share > 1.0 + WEIGHT_SUM_TOLERANCE)
            self.add_where("error", "pfts1d_wtcol", "is no share", bad, block, "patch", share, "0 to 1")
            strange = block.soil & ~block.natural & (share > 0.0)
            self.add_where(
                "error",
                "pfts1d_itypveg",
                "is no natural PFT but covers ground of a soil column",
                strange,
                block,
                "patch",
                block.pft,
                f"0 to {NATPFT - 1}",
            )
            add_by_place(total, block.column, share)
        for rows in ranges(self.grid.ncolumns, _PATCH_ROWS):
            columns, sums = self.grid.columns(rows), total[rows]
            self.add_where(
                "error",
                "pfts1d_wtcol",
                "patch weights of a column do not sum to 1: ELM aborts",
                columns.counts & ~(np.abs(sums - 1.0) <= WEIGHT_SUM_TOLERANCE),
                columns.cell,
                "column",
                sums,
                f"1 within {WEIGHT_SUM_TOLERANCE:g}",
                "sum",
            )

    def check_cover(self, surface: str | Path) -> None:
        """Cover, of divided cells its mean, against the surface file, as ELM compares it on reading.

        Raises:
            InputError: the surface file holds something else than percentages.
        """
        problem = f"differs from PCT_NAT_PFT of the surface file by more than {PFT_WEIGHT_TOLERANCE:g}"
        with open_fields(surface, ["PCT_NAT_PFT"], self.grid.lat, self.grid.lon) as fields:
            for block in self.grid.of_patches(_PATCH_ROWS, covered=False):
                first = int(block.cell.min())
                percent = fields.read("PCT_NAT_PFT", np.arange(first, int(block.cell.max()) + 1))
                used = np.zeros(len(percent), dtype=bool)
                used[block.cell - first] = True  # of other cells the file may hold anything
                unsound = used & ~np.all((percent >= 0.0) & (percent <= _MOST_PERCENT), axis=1)
                if np.any(unsound):
                    cell = first + int(np.argmax(unsound))
                    raise InputError(
                        surface,
                        f"variable PCT_NAT_PFT holds no percentages in cell {cell + 1}",
                        expected="0 to 100",
                        remedy="repair the surface data",
                    )
                cover = self._cover_of_cells(block) if self.grid.divided else block.wtcol
                refuse_fractions(surface, ["PCT_NAT_PFT"], float(percent[used].sum(axis=1).max()))
                compared = block.natural & (block.pft < percent.shape[1]) & ~np.isnan(cover)
                right = percent[block.cell - first, np.where(compared, block.pft, 0)] / 100.0
                off = compared & ~(np.abs(cover - right) <= PFT_WEIGHT_TOLERANCE)
                self.add_where(
                    "error",
                    "pfts1d_wtcol",
                    f"{problem}: ELM aborts",
                    off,
                    block,
                    "patch",
                    cover,
                    right,
                )

    def check_phosphorus(self, surface: Path) -> None:
        """The maps of mineral P that the restart's were, or will be, supplied from.

        Raises:
            InputError: they hold what no soil has.
        """
        if not self.has("labilep_vr", "column", "levgrnd"):
            return
        with open_dataset(surface) as dataset:
            names = [name for name in SURFACE_P if name in dataset.variables]
        with open_fields(surface, names, self.grid.lat, self.grid.lon) as fields:
            alive = np.flatnonzero(self.grid.has_biogeochemistry())
            check_phosphorus(surface, fields, alive, self.grid.lat, self.grid.lon, names)

    def _cover_of_cells(self, block: Block) -> np.ndarray:
        """Share of the natural vegetation's ground of its cell under the PFT of each patch (row).

        NaN where no column of the cell has ground, as ELM gives topounits areas that a restart does not hold.
        """
        low = int(block.column.min())
        weight = np.asarray(self.variables["cols1d_wtxy"][low : int(block.column.max()) + 1])
        ground = np.where(block.natural, weight[block.column - low] * block.wtcol, 0.0)
        cell = block.cell - block.cell.min()
        of_pft = cell.astype(np.int64) * NATPFT + np.where(block.natural, block.pft, 0)
        whole = np.bincount(cell, ground)[cell]
        return np.bincount(of_pft, ground)[of_pft] / np.where(whole > 0.0, whole, np.nan)

    def check_soil_columns(self) -> None:
        """Cells without a column of natural vegetation, and columns of it that are of another type."""
        natural = np.zeros(self.grid.ncells, dtype=bool)
        for rows in ranges(self.grid.ncolumns, _PATCH_ROWS):
            columns = self.grid.columns(rows)
            natural[columns.cell[columns.soil]] = True
            kind = np.asarray(self.variables["cols1d_ityp"][rows])
            natural_landunit = np.asarray(self.variables["cols1d_ityplun"][rows]) == LANDUNIT_SOIL
            self.add_where(
                "error",
                "cols1d_ityp",
                "is another type than that of its landunit",
                natural_landunit & (kind != COLUMN_SOIL),
                columns.cell,
                "column",
                kind,
                f"{COLUMN_SOIL} in landunits of natural vegetation",
            )
        without = Places()
        without.add(~natural, np.arange(len(natural)), np.full(len(natural), np.nan))
        self.add_places(
            "note", "cols1d_ityp", "no column is of natural vegetation: nothing is predicted there", without
        )

    # -- soil -------------------------------------------------------------------------------------

    def check_soil(self, surface: str | Path | None) -> None:
        """Layered pools: values, layers below, ratios, mineral N, totals, stocks, mineral P.

        Gathers what AD is judged by.
        """
        layered = [
            name
            for name, entry in POOL_VARIABLES.items()
            if entry.level == "layer" and self.has(name, "column", "levgrnd")
        ]
        sinks = [name for name in TRUNCATION_LAYER if self.has(name, "column", "levgrnd")]
        stocks_seen, labile_seen = _Stocks(), _Labile()
        with ExitStack() as stack:
            mapped = None
            if surface is not None and self.normal and "labilep_vr" in layered:
                mapped = stack.enter_context(open_fields(surface, ["LABILE_P"], self.grid.lat, self.grid.lon))
            for rows in self.blocks("layer"):
                pools: dict[str, np.ndarray] = {}
                good: dict[str, np.ndarray | np.bool_] = {}
                for name in (*layered, *sinks):
                    pools[name], good[name] = self._sound_layers(name, rows)
                for name in (pool for pool in self.twins if pool in pools):
                    self._check_twins(name, pools[name], rows, "layer")
                stocks = {name: column_stock(pools[name]) for name in layered if name in _IN_STOCKS}
                for pool in SOIL_POOLS:
                    if all(pool.variable(element) in pools for element in ("c", "n", "p")):
                        self._check_ratios(pool.name, pools, good, rows)
                self._check_mineral_n(pools, good, rows)
                self._check_totals(stocks, rows)
                none = np.zeros(len(rows))
                self.slow.add(
                    stocks.get("soil3c_vr", none), stocks.get("soil4c_vr", none), rows.cell, rows.soil
                )
                stocks_seen.add(stocks, rows)
                if self.normal and "labilep_vr" in pools:
                    labile_seen.add(pools["labilep_vr"], rows, mapped)
        self._check_stocks(stocks_seen)
        self._check_mineral_p(labile_seen, surface)

    def _sound_layers(self, name: str, rows: Block) -> tuple[np.ndarray, np.ndarray | np.bool_]:
        """The active layers of a variable, and where they are usable, as `sound`."""
        values = self.read(name, rows)
        active, below = values[:, :NLEVDECOMP], values[:, NLEVDECOMP:]
        if np.any(below):
            deep = np.concatenate([np.zeros(active.shape, dtype=bool), below != 0.0], axis=1)
            self.add_where(
                "note", name, "is below the active layers, unused", deep, rows, "layer", values, "0"
            )
        # The layers below hold 0, so they do not matter here; in one piece it goes quicker.
        if self._sound_at_a_glance(name, values):
            return active, np.True_
        return self.sound(name, active, rows, "layer")

    def _check_twins(self, pool: str, carbon: np.ndarray, rows: Block, level: Level) -> None:
        """The isotopes of a carbon pool: values, and their share of it."""
        for twin in self.twins[pool]:
            values = self.read(twin.name, rows)
            values = values[:, : carbon.shape[1]] if level == "layer" else values
            finite = np.isfinite(values)
            fill = finite & (np.abs(values) >= FILL_THRESHOLD)
            self.add_where(
                "error", twin.name, "is not a finite number", ~finite, rows, level, values, "a finite number"
            )
            self.add_where(
                "error", twin.name, "is fill in an active place", fill, rows, level, values, "a pool"
            )
            good = finite & ~fill
            judged = good & (np.abs(carbon) > _TWIN_CARBON)
            share = np.where(judged, values, 0.0) / np.where(judged, carbon, 1.0)
            if not VARIABLES[pool].signed:
                negative = np.where(
                    judged, share < -_TWIN_ROUND_OFF * twin.isotope.start, values < -TRUNCATION
                )
                self.add_where(
                    "error", twin.name, "is negative", good & negative, rows, level, values, "0 or more"
                )
            more = judged & (share > 1.0)
            self.add_where("error", twin.name, f"is more than {pool}", more, rows, level, values, carbon)
            if twin.isotope.limits is not None:
                low, high = twin.isotope.limits
                unnatural = (share < low) | (share > high)
                self._judge_share(twin, judged, unnatural, share, rows)
            elif pool.startswith(DEAD_WOOD):
                self._check_age(twin, share, judged, rows)

    def _judge_share(
        self, twin: Twin, judged: np.ndarray, beyond: np.ndarray, share: np.ndarray, rows: Block
    ) -> None:
        cell = np.broadcast_to(rows.cell.reshape(-1, *[1] * (share.ndim - 1)), share.shape)
        self.twin_share[twin.name].add(
            judged.reshape(-1), beyond.reshape(-1), cell.reshape(-1), share.reshape(-1)
        )

    def _check_age(self, twin: Twin, share: np.ndarray, judged: np.ndarray, rows: Block) -> None:
        """14C of dead wood beside that of the live wood that it comes from."""
        live_pool = twin.pool.replace("dead", "live")
        live_twins = [one for one in self.twins.get(live_pool, ()) if one.isotope == twin.isotope]
        for live_twin in live_twins:
            live, isotope = (self.read(name, rows) for name in (live_pool, live_twin.name))
            known = (
                judged & (live > _TWIN_CARBON) & (live < FILL_THRESHOLD) & (isotope > 0.0) & (isotope < live)
            )
            contrast = np.where(known, share, 0.0) * live / np.where(known, isotope, 1.0)
            unlike = (contrast < 1.0 / _MOST_AGE_CONTRAST) | (contrast > _MOST_AGE_CONTRAST)
            self._judge_share(twin, known, unlike, contrast, rows)

    def check_twin_shares(self) -> None:
        """Isotopes whose share of the carbon is not nature's: an error where it is so of most values."""
        for twins in self.twins.values():
            for twin in twins:
                seen = self.twin_share[twin.name]
                natural = twin.isotope.limits
                self.add_places(
                    "error" if seen.most else "note",
                    twin.name,
                    f"its share of {twin.pool} is none that nature has"
                    if natural
                    else f"its share of {twin.pool} is not that of the live wood beside it",
                    seen.places,
                    f"{natural[0]:.4f} to {natural[1]:.4f}"
                    if natural
                    else f"{1.0 / _MOST_AGE_CONTRAST:g} to {_MOST_AGE_CONTRAST:g} times that",
                    "share of the carbon" if natural else "ratio of the two",
                )

    def _check_ratios(
        self, stem: str, pools: dict[str, np.ndarray], good: dict[str, np.ndarray | np.bool_], rows: Block
    ) -> None:
        c, n, p = (pools[f"{stem}{element}_vr"] for element in "cnp")
        whole = good[f"{stem}c_vr"] & good[f"{stem}n_vr"] & good[f"{stem}p_vr"]
        if stem not in SOM:
            for name, nutrient, (low, high) in (("n", n, _LITTER_CN), ("p", p, _LITTER_CP)):
                loose = whole & (c > _LITTER_C) & ((nutrient * low > c) | (nutrient * high < c))
                self.add_where(
                    "note",
                    f"{stem}{name}_vr",
                    f"C:{name.upper()} is loose",
                    loose,
                    rows,
                    "layer",
                    nutrient,
                    f"C:{name.upper()} of {low:g} to {high:g}",
                )
            return
        cn, cp = self.standard.soil_ratios[stem]
        right = c / cn
        off = whole & (np.abs(n - right) > _SOIL_N_RELATIVE * right + _SOIL_N_ABSOLUTE)
        self.add_where("error", f"{stem}n_vr", f"C:N is not {cn:g}", off, rows, "layer", n, right)
        right = c / cp
        far = whole & _beyond(p, right, _SOIL_P_FAR, _SOIL_P_ABSOLUTE)
        loose = whole & _beyond(p, right, _SOIL_P_LOOSE, _SOIL_P_ABSOLUTE)
        severity: Severity = "error" if self.normal else "note"
        name = f"{stem}p_vr"
        self.add_where(severity, name, f"C:P is far from {cp:g}", far, rows, "layer", p, right)
        self.add_where("note", name, f"C:P is off {cp:g}", loose & ~far, rows, "layer", p, right)

    def _check_mineral_n(
        self, pools: dict[str, np.ndarray], good: dict[str, np.ndarray | np.bool_], rows: Block
    ) -> None:
        parts = [f"{name}_vr" for name in MINERAL_N]
        if not all(name in pools for name in (*parts, "sminn_vr")):
            return
        total = pools[parts[0]] + pools[parts[1]]
        off = np.abs(pools["sminn_vr"] - total) > 1.0e-9 * np.abs(total) + 1.0e-12
        off &= good[parts[0]] & good[parts[1]] & good["sminn_vr"]
        self.add_where(
            "error",
            "sminn_vr",
            "is not smin_no3_vr + smin_nh4_vr",
            off,
            rows,
            "layer",
            pools["sminn_vr"],
            total,
        )

    def _check_totals(self, stocks: dict[str, np.ndarray], rows: Block) -> None:
        for name, parts in COLUMN_TOTALS.items():
            if self.has(name, "column") and all(part in stocks for part in parts):
                right = sum((stocks[part] for part in parts), start=np.zeros(len(rows)))
                self._check_total(name, right, rows, "column")

    def _check_total(self, name: str, right: np.ndarray, rows: Block, level: Level) -> None:
        values = self.read(name, rows)
        stale = ~(np.abs(values - right) <= 1.0e-6 * np.abs(right) + 1.0e-6)
        self.add_where(
            "note",
            name,
            "is not the sum of its pools; ELM computes it again",
            stale,
            rows,
            level,
            values,
            right,
        )

    def _check_stocks(self, seen: _Stocks) -> None:
        """SOM that no soil holds, and SOM that its litter does not feed."""
        most = seen.peat.most
        where = "most columns" if most else "a column"
        expected, quantity = f"less than {_PEAT:g} gC m-2", "sum of its pools"
        self.add_places(
            "error" if most else "note",
            "totsomc",
            f"the soil of {where} holds more carbon than peat of the same depth"
            + (", as leaving AD by an unfinished scalaravg_col leaves it" if most else ""),
            seen.much,
            expected,
            quantity,
        )
        self.add_places("error", "totsomc", "no soil holds as much carbon", seen.no_soil, expected, quantity)
        if seen.unfed.most:
            self.add_places(
                "error",
                "soil2c_vr",
                "most columns have more of it than their litter feeds",
                seen.unfed.places,
                "about 1",
                "soil2 : litter",
            )

    def _check_mineral_p(self, seen: _Labile, surface: str | Path | None) -> None:
        """In a file flagged normal: was the mineral P of the maps supplied, which AD runs without?"""
        if not seen.poor.most:
            return
        if surface is None:
            self.add_places(
                "note",
                "labilep_vr",
                "is next to nothing in most columns, as AD leaves it; give the surface file to tell",
                seen.poor.places,
                f"more than {_LABILE_LEAST:g} gP m-3",
                "mean over the layers",
            )
        else:
            self.add_places(
                "error",
                "labilep_vr",
                "mineral P was not supplied on leaving AD",
                seen.poor.places,
                f"about 1, at least {_LABILE_SHARE:g}",
                f"share of LABILE_P / {MINERAL_P_DEPTH_M:g} m",
            )

    # -- plants -----------------------------------------------------------------------------------

    def check_plants(self) -> None:
        """Patch pools: values, ratios, leaves, ppool, totals; gathers what AD is judged by."""
        names = [
            name for name, entry in POOL_VARIABLES.items() if entry.level == "patch" and self.has(name, "pft")
        ]
        names += [name for name in TRUNCATION_PATCH if self.has(name, "pft")]
        for rows in self.blocks("patch"):
            pools: dict[str, np.ndarray] = {}
            for name in names:
                pools[name], _ = self.sound(name, self.read(name, rows), rows, "patch")
            for name in (pool for pool in self.twins if pool in pools):
                self._check_twins(name, pools[name], rows, "patch")
            canopy = {
                name: self.read(name, rows) for name in ("tlai", "htop", "hbot") if self.has(name, "pft")
            }
            for name, values in canopy.items():
                self.sound(name, values, rows, "patch")
            if self.ad and all(name in pools for name in WOOD):
                self.wood.add(rows.pft, pools, canopy.get("htop"))
            self._check_plant_ratios(pools, rows)
            self._check_leaves(pools, rows)
            if all(name in pools for name in TOTVEGC_POOLS) and self.has("totvegc", "pft"):
                right = sum((pools[name] for name in TOTVEGC_POOLS), start=np.zeros(len(rows)))
                self._check_total("totvegc", right, rows, "patch")
            self._gather_dead_wood(pools, rows)

    def _natural(self, rows: Block) -> np.ndarray:
        return np.clip(rows.pft, 0, NATPFT - 1)

    def _check_plant_ratios(self, pools: dict[str, np.ndarray], rows: Block) -> None:
        parameters = self.standard.file
        if parameters is None:
            self._check_nitrogen_alone(pools, rows)
            return
        natural = rows.pft < NATPFT
        for organ in ORGANS:
            for element, ratio in zip("np", parameters.organ_ratios(organ), strict=True):
                fixed = ratio[self._natural(rows)]
                known = natural & (fixed > 0.0) & (rows.pft > 0)  # a missing ratio is NaN
                fixed = np.where(known, fixed, 1.0)
                noise = _PLANT_ABSOLUTE / fixed
                problem = f"C:{element.upper()} is not the parameter's"
                for stage in STAGES:
                    name, carbon = f"{organ}{element}{stage}", f"{organ}c{stage}"
                    if name not in pools or carbon not in pools:
                        continue
                    right = pools[carbon] / fixed
                    loose = known & _beyond(pools[name], right, _PLANT_LOOSE, noise)
                    if not np.any(loose):
                        continue
                    # ELM's own P of dead wood strays far, its N never does.
                    far = loose & _beyond(pools[name], right, _PLANT_FAR, noise) & (element == "n")
                    self.add_where("error", name, f"{problem} by far", far, rows, "patch", pools[name], right)
                    self.add_where("note", name, problem, loose & ~far, rows, "patch", pools[name], right)

    def _check_nitrogen_alone(self, pools: dict[str, np.ndarray], rows: Block) -> None:
        for organ in ORGANS:
            for stage in STAGES:
                name, carbon = f"{organ}n{stage}", f"{organ}c{stage}"
                if name in pools and carbon in pools:
                    rich = pools[name] > pools[carbon] / _LEAST_PLANT_CN + _PLANT_ABSOLUTE
                    expected = f"C:N of {_LEAST_PLANT_CN:g} or more"
                    problem = "holds N without the carbon that goes with it"
                    self.add_where("error", name, problem, rich, rows, "patch", pools[name], expected)

    def _check_leaves(self, pools: dict[str, np.ndarray], rows: Block) -> None:
        severity: Severity = "error" if self.normal else "note"
        pft = rows.pft
        if "leafc" in pools:
            leafc = pools["leafc"]
            others = [
                name for name in TOTVEGC_POOLS if name in pools and name != "leafc" and "dead" not in name
            ]
            living = sum((pools[name] for name in others), start=np.zeros(len(rows)))
            evergreen = self.standard.evergreen[self._natural(rows)] & (pft < NATPFT)
            trapped = evergreen & (leafc <= _LEAFLESS) & (living > _ALIVE)
            self.add_where(
                severity,
                "leafc",
                "a living evergreen patch has no leaves and never gets any",
                trapped,
                rows,
                "patch",
                leafc,
                f"more than {_LEAFLESS:g}",
            )
            self._check_leaf_area(leafc, rows)
        if "ppool" in pools and "leafp" in pools:
            short = pools["ppool"] < pools["leafp"] * (1.0 - 1.0e-9)
            # ELM lifts it once, on leaving AD; a run whose growth P limits draws it down again.
            self.add_where(
                "note", "ppool", "is less than leafp", short, rows, "patch", pools["ppool"], pools["leafp"]
            )

    def _check_leaf_area(self, leafc: np.ndarray, rows: Block) -> None:
        parameters = self.standard.file
        if parameters is None or not self.has("tlai", "pft"):
            return
        pft = self._natural(rows)
        slatop, dsladlai = parameters.specific_leaf_area()
        follows = leaf_area(leafc, slatop[pft], dsladlai[pft])
        tlai = self.read("tlai", rows)
        off = (np.abs(tlai - follows) > 0.01 * follows + 1.0e-6) & (rows.pft < NATPFT)
        self.add_where("note", "tlai", "does not follow from leafc", off, rows, "patch", tlai, follows)

    def _gather_dead_wood(self, pools: dict[str, np.ndarray], rows: Block) -> None:
        expected = self.standard.dead_live[self._natural(rows)]
        for organ in DEAD_WOOD:
            live_name = organ.replace("dead", "live") + "c"
            if f"{organ}c" not in pools or live_name not in pools:
                continue
            live = pools[live_name]
            judged = np.isfinite(expected) & (live > _LIVE_WOOD) & (rows.pft < NATPFT)
            dead = np.maximum(pools[f"{organ}c"][judged], TRUNCATION)
            log = np.log10(dead / (live[judged] * expected[judged]))
            self.low_wood[self.dead[organ].add(log, rows.cell[judged])] = True

    # -- spin-up space ----------------------------------------------------------------------------

    def check_space(self) -> None:
        """Are the slow pools in the space that the flag says?"""
        if self.ad:
            self._already_normal()
            return
        severity: Severity = "error" if self.normal else "note"
        self._soil4_still_ad(severity)
        self._dead_wood_still_ad(severity)
        both = np.isfinite(self.slow.low_ratio) & self.low_wood
        places = Places()
        places.add(both, np.arange(len(both)), self.slow.low_ratio)
        self.add_places(
            severity,
            "soil4c_vr",
            "soil4 : soil3 and dead : live wood of a cell are those of AD",
            places,
            f"about {self.standard.soil4_soil3:.3g}",
            "soil4 : soil3",
        )

    def check_mortality_factor(self, factor: float) -> None:
        """In a file flagged AD: is `spinup_mortality_factor` of its run what its wood goes with?"""
        wood = self.wood.evidence(self.header)
        if self.ad and wood.contradicts(factor):
            self.add(
                "error",
                "deadstemc",
                f"is not of a run with spinup_mortality_factor {factor:g}",
                f"what lnd_in of the AD run says: {wood.description}",
            )

    def _already_normal(self) -> None:
        """In a file flagged AD: normal-mode pools, which ELM would multiply once more on leaving AD."""
        normal, accelerated = self.standard.soil4_soil3, self.standard.soil4_soil3 * self.standard.ad_ratio
        slow = self.slow
        if slow.judged4 > self.standard.soil4_soil3_between * slow.judged3:
            self.add_places(
                "error",
                "soil4c_vr",
                "soil4 : soil3 is that of normal mode in a file flagged AD: ELM multiplies soil4 again",
                slow.high,
                f"about {accelerated:.3g} in AD, {normal:.3g} in normal mode",
                "soil4 : soil3",
            )
        for organ in DEAD_WOOD:
            if self.dead[organ].high.most:
                self.add(
                    "note",
                    f"{organ}c",
                    "dead : live wood is that of normal mortality in a file flagged AD",
                    "a tenth of it, unless spinup_mortality_factor is 1",
                )

    def _soil4_still_ad(self, severity: Severity) -> None:
        normal, accelerated = self.standard.soil4_soil3, self.standard.soil4_soil3 * self.standard.ad_ratio
        between, slow = self.standard.soil4_soil3_between, self.slow
        if slow.soil3 > 0.0 and slow.soil4 < between * slow.soil3:
            self.add_places(
                severity,
                "soil4c_vr",
                f"soil4 : soil3 of the whole file is {slow.soil4 / slow.soil3:.3g}, as AD leaves it",
                Places(1, slow.richest3.cell, slow.richest3.ratio),
                f"about {normal:.3g} in normal mode, {accelerated:.3g} in AD",
                "soil4 : soil3",
            )
        elif slow.soil3 > SOIL3_JUDGED * slow.columns and slow.soil4 * between > normal**2 * slow.soil3:
            # As far above as AD is below: leaving AD twice multiplies the ratio once more.
            ratio = slow.soil4 / slow.soil3
            self.add_places(
                severity,
                "soil4c_vr",
                f"soil4 : soil3 of the whole file is {ratio:.3g}, as leaving AD twice makes it",
                Places(1, slow.richest4.cell, slow.richest4.ratio),
                f"about {normal:.3g} in normal mode",
                "soil4 : soil3",
            )
        else:
            self.add_places(
                "note",
                "soil4c_vr",
                "soil4 : soil3 of a column is as low as AD leaves it",
                slow.low,
                f"about {normal:.3g}",
                "soil4 : soil3",
            )

    def _dead_wood_still_ad(self, severity: Severity) -> None:
        for organ in DEAD_WOOD:
            wood = self.dead[organ]
            if wood.low.most:
                self.add_places(
                    severity,
                    f"{organ}c",
                    "dead : live wood is far below what normal mortality leaves",
                    Places(1, wood.low.places.cell, wood.mean),
                    "about 1 in normal mode, 0.1 in AD",
                    "mean share of it",
                )

    def check_scalaravg(self) -> None:
        """The averaged scalar that leaving AD divides by."""
        name = "scalaravg_col"
        if not self.has(name, "column", "levgrnd"):
            if self.ad:
                self.add("error", name, "is missing: ELM divides by it on leaving AD", "a value in (0, 1.5]")
            else:
                self.add("note", name, "is missing; nothing in normal mode needs it")
            return
        first, last = SCALARAVG_YEARS
        year = self.header.year
        part = min(max(year - first, 0) / (last - first), 1.0)
        for rows in self.blocks("layer"):
            values = self.read(name, rows)[:, :NLEVDECOMP]
            broken = ~np.isfinite(values) | (values < 0.0)
            self.add_where("error", name, "is no mean of a scalar", broken, rows, "layer", values, "0 to 1.5")
            fill = ~broken & (values >= FILL_THRESHOLD)
            if self.has("cols1d_active", "column"):
                # Nothing is averaged under ice that covers the whole cell.
                fill &= self.read("cols1d_active", rows)[:, None] == 1
            usual = ~broken & ~fill
            if self.ad:
                late = first <= (self.header.start_year or 0) < last and not rates_were_divided(year)
                self.add_where(
                    "note" if late else "error",
                    name,
                    f"is fill, as the run began after {first}: leave AD by F alone, before {last}"
                    if late
                    else "is fill in an AD file",
                    fill,
                    rows,
                    "layer",
                    values,
                    "0 to 1.5",
                )
                if year < last:
                    self.add_where(
                        "note",
                        name,
                        f"is the unfinished mean of AD year {year}: leave AD by F alone",
                        usual & (values < 1.0),
                        rows,
                        "layer",
                        values,
                    )
                continue
            kept = usual & (values < 1.0)
            # An unfinished mean cannot exceed the share of the averaging years that are over; a finished
            # one that a run carries on with after AD can, and does no harm.
            unfinished = kept & (values <= part * _LARGEST_SCALAR)
            if year <= last and np.array_equal(unfinished, kept) and part < 1.0:
                self.add_where(
                    "error" if self.normal else "note",
                    name,
                    f"holds the unfinished mean of AD year {year}",
                    unfinished,
                    rows,
                    "layer",
                    values,
                    "1 in a file taken to normal mode",
                )
            else:
                self.add_where(
                    "note", name, "holds the mean of an AD run", kept, rows, "layer", values, "1, or as it is"
                )


def audit_restart(
    path: str | Path,
    surface: str | Path | None = None,
    params: str | Path | Parameters | None = None,
    mortality_factor: float | None = None,
) -> AuditReport:
    """Audits a restart, value by value.

    Args:
        path: restart of any layout and flavour.
        surface: surface file; with it the cover is compared, and mineral P in a file flagged normal.
        params: parameter file or what was read from it; with it plant ratios and leaf area are checked too.
        mortality_factor: `spinup_mortality_factor` of the AD run, to be held against the wood of its restart.

    Returns:
        The report; the file is sound when it has no errors.

    Raises:
        InputError: no restart, or the surface file is of another grid.
    """
    standard = _standard(
        params if params is None or isinstance(params, Parameters) else read_parameters(params)
    )
    with open_with_rows(path) as (dataset, variables):
        audit = _Audit(Path(path), dataset, variables, standard)
        audit.check_header()
        audit.check_weights()
        if surface is not None:
            audit.check_cover(surface)
            audit.check_phosphorus(Path(surface))
        audit.check_soil_columns()
        audit.check_soil(surface)
        audit.check_plants()
        audit.check_other_pools()
        audit.check_twin_shares()
        audit.check_space()
        if mortality_factor is not None:
            audit.check_mortality_factor(mortality_factor)
        audit.check_scalaravg()
        header = audit.header
        date = header.date
        return AuditReport(str(path), header.spinup_state, date, audit.findings())
