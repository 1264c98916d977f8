"""From the files of a land-model run to a dataset: one record for each land cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phase_lib.base.errors import InputError
from phase_lib.base.files import directory_for, fingerprint, refused_as_input, require_file, write_json
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import settings_hash
from phase_lib.config.fusion import FusionSettings, SteadyStateSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.elm.constants import PFT_WEIGHT_TOLERANCE, SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.dead_wood import USUAL_FACTOR, read_wood, settle_factor
from phase_lib.elm.history import History
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.products import (
    Variables,
    cell_coordinates,
    layer_coordinates,
    month_coordinates,
    pft_coordinates,
    variable,
    write_product,
)
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import design_multipliers, rates_were_divided
from phase_lib.elm.subgrid import SoilColumns
from phase_lib.elm.surface_content import check_shares
from phase_lib.elm.variables import POOL_VARIABLES, SOIL_POOL_INDEX, SOIL_POOLS, VARIABLES
from phase_lib.forcing.variables import FORCING, LONG_NAMES
from phase_lib.fusion import course as courses
from phase_lib.fusion import schema
from phase_lib.fusion.cleaning import Findings, just_above_switch
from phase_lib.fusion.index import index_variables, write_index
from phase_lib.fusion.sources import (
    ForcingSource,
    RestartSource,
    SurfaceSource,
    history_fluxes,
    history_turnover,
    open_forcing,
    open_restart,
    open_surface,
)
from phase_lib.fusion.steady import STARTED, SemiAnalytic, read_soil_years, why_no_soil_years
from phase_lib.landmodel.domain import Domain

#: Files that every record is made of.
_REQUIRED = ("restart", "surface", "params")
_MEAN = {"cell_methods": "time: mean"}


@dataclass(frozen=True)
class Share:
    """What one of several jobs does of the cells of a domain: share `number`, from 1, of `count`."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(None, f"share {self.number} of {self.count}", expected=f"1 to {self.count}")

    def rows(self, cells: np.ndarray) -> np.ndarray:
        """This job's share of the ordered cells: neighbours, as many as in the other shares.

        Raises:
            InputError: there are fewer cells than jobs.
        """
        if self.count > len(cells):
            what = f"fusion.jobs is {self.count} for the {len(cells)} cells"
            raise InputError(None, what, expected="at least one cell for each job")
        return np.array_split(cells, self.count)[self.number - 1]


@dataclass(frozen=True)
class _Index:
    """The index group: (gridcell) in dataset order, and the number of the first cell in its domain."""

    first: int
    lat: np.ndarray
    lon: np.ndarray
    cell: np.ndarray
    area_km2: np.ndarray
    landfrac: np.ndarray

    def coordinates(self, cells: slice) -> Variables:
        coordinates = cell_coordinates(self.lat[cells], self.lon[cells], self.first + cells.start)
        for name in ("lat", "lon"):
            coordinates[name].attrs["group"] = "index"
        return coordinates

    def columns(self, cells: slice, cover: np.ndarray, findings: Findings) -> dict[str, np.ndarray]:
        """What the index holds of some cells (n), with the cover of their PFTs (n, natpft)."""
        return {
            "cell": self.cell[cells],
            "area_km2": self.area_km2[cells],
            "landfrac": self.landfrac[cells],
            "cover": cover,
            "covered": cover > 0.0,
            "complete": findings.complete[cells],
            "trainable": findings.trainable[cells],
        }


@dataclass(frozen=True)
class _Sources:
    """Everything open, matched to the cells in dataset order."""

    index: _Index
    restart: RestartSource
    surface: SurfaceSource
    forcing: ForcingSource
    parameters: Parameters
    scalars: dict[str, np.ndarray]
    reference: RestartSource | None
    reference_scalars: dict[str, np.ndarray]
    reference_ad: RestartSource | None
    start: SemiAnalytic
    course: dict[str, np.ndarray]

    @property
    def ncells(self) -> int:
        return len(self.index.lat)


def _require_files(domain: Domain) -> list[Path]:
    """Restart, surface and parameters of a domain all of whose files are there."""
    files: dict[str, Path | None] = {role: getattr(domain, role) for role in _REQUIRED}
    if missing := [role for role, path in files.items() if path is None]:
        raise InputError(None, f"no {missing[0]} file is given", expected=", ".join(_REQUIRED))
    if domain.reference_restart is not None and not domain.reference_history:
        what = "comes without the history of its run"
        raise InputError(domain.reference_restart, what, remedy="give the history too")
    of_no_run = [*domain.reference_history, *filter(None, [domain.reference_ad_restart])]
    if domain.reference_restart is None and of_no_run:
        what = "is of a reference run whose final restart is not given"
        raise InputError(of_no_run[0], what, remedy="give that restart too, or leave this out")
    for path in domain.paths:
        require_file(path)
    return [path for path in files.values() if path is not None]


@contextmanager
def _open_sources(domain: Domain, share: Share, settings: SteadyStateSettings) -> Iterator[_Sources]:
    restart_file, surface_file, params_file = _require_files(domain)
    with ExitStack() as stack:
        restart = stack.enter_context(open_restart(restart_file))
        if restart.header.spinup_state is None:
            raise InputError(restart_file, "variable spinup_state is missing", expected="0 or 1")
        positions = share.rows(np.arange(len(restart.row)))
        restart = replace(restart, row=restart.row[positions])
        lat, lon = restart.subgrid.lat[restart.row], restart.subgrid.lon[restart.row]
        surface = stack.enter_context(open_surface(surface_file, lat, lon))
        grown = restart.subgrid.soil_fraction[restart.row] > 0.0
        check_shares(surface.path, lat, lon, grown, compared=True)
        forcing = stack.enter_context(open_forcing(domain.monthly, lat, lon))
        history = History(domain.history)
        row = history.rows(lat, lon)
        cycle = history, row, restart.header.year, domain.cycle
        scalars = history_fluxes(*cycle, list(schema.SCALARS)) | history_turnover(*cycle)
        for remark in history.grid.remarks:
            LOGGER.warning("%s: %s", history.grid.path, remark)
        first = int(positions[0])
        index = _Index(first, lat, lon, restart.row, history.grid.area[row], history.grid.landfrac[row])
        reference = reference_ad = None
        reference_scalars: dict[str, np.ndarray] = {}
        if domain.reference_restart is not None:
            source = open_restart(domain.reference_restart, (lat, lon), spinup_state=SPINUP_NORMAL)
            reference = stack.enter_context(source)
            history = History(domain.reference_history)
            row, year = history.rows(lat, lon), reference.header.year
            reference_scalars = history_fluxes(history, row, year, domain.cycle, schema.SCALAR_TARGETS)
        if domain.reference_ad_restart is not None:
            source = open_restart(domain.reference_ad_restart, (lat, lon), spinup_state=SPINUP_AD)
            reference_ad = stack.enter_context(source)
        references = reference, reference_scalars, reference_ad
        parameters = read_parameters(params_file)
        start = _semi_analytic(domain, restart, settings, parameters)
        tapes, soil = (domain.soil_history, domain.history), restart.subgrid.soil_fraction[restart.row]
        course = courses.read_course(tapes, lat, lon, soil, restart.header.year)
        yield _Sources(index, restart, surface, forcing, parameters, scalars, *references, start, course)


def _semi_analytic(
    domain: Domain, restart: RestartSource, settings: SteadyStateSettings, parameters: Parameters
) -> SemiAnalytic:
    """What the semi-analytic state of the cells is made of, or why there is none."""
    for files in filter(None, (domain.soil_history, domain.history)):
        history = History(files)
        missed = why_no_soil_years(history, restart.header.year, settings.last_years)
        if missed is None:
            break
    if missed is None and not restart.has_thaw:
        missed = "the restart has no altmax or altmax_lastyear, which mixing needs"
    if missed is not None:
        LOGGER.info("predictions of soil start from the restart, not from where its rates lead: %s", missed)
        return SemiAnalytic(settings, parameters, reason=missed)
    row = history.rows(restart.subgrid.lat[restart.row], restart.subgrid.lon[restart.row])
    share = restart.subgrid.soil_fraction[restart.row]
    years = read_soil_years(history, row, share, restart.header.year, settings.last_years, parameters)
    if years.unlimited:
        words = "where rates lead: nutrients do not limit litter, as the history has no numbers of %s"
        LOGGER.info(words, ", ".join(years.unlimited))
    return SemiAnalytic(settings, parameters, years)


def fuse(
    domain: Domain,
    settings: FusionSettings,
    targets: TargetSettings,
    output_dir: str | Path,
    share: Share | None = None,
) -> dict[str, Any]:
    """Writes `records_NN.nc`, `cleaning.json` and, last, `cells.nc`.

    The directory is a dataset of its own; `join_records` makes one of several.

    Args:
        domain: files to read. GPP, NPP, AR and HR are averaged over its forcing cycle; where its
            `mortality_factor` is not known, the usual one is assumed if the wood of the restart shows it.
            Without a reference there are no labels, and no cell is trainable.
        settings: cells of a record file, and limits.
        targets: pools to predict.
        output_dir: the dataset's directory.
        share: which of the cells; all of them if None.

    Returns:
        The content of `cleaning.json`.

    Raises:
        InputError: a file is missing or damaged, variables are missing or have other units or
            dimensions, files lie on different grids, or spin-up states are not what they must be.
    """
    share = share or Share()
    with (
        _open_sources(domain, share, settings.steady_state) as sources,
        directory_for(output_dir, output_dir) as directory,
    ):
        _require_variables(sources, targets)
        factor = _settled_factor(sources.restart.path, domain.mortality_factor, sources.parameters)
        choices = {
            "fusion": settings.model_dump(mode="json"),
            "targets": targets.names,
            "mortality_factor": factor,
            "history_years": domain.cycle,
            "share": {"domain": domain.name, **asdict(share)},
        }
        provenance = _provenance(domain, choices)
        # An index that does not belong to the record files must not survive an interrupted run.
        with refused_as_input(directory):
            (directory / "cells.nc").unlink(missing_ok=True)
        findings = Findings(sources.ncells, labelled=sources.reference is not None)
        starts = range(0, sources.ncells, settings.record_cells)
        files = [f"records_{number:02d}.nc" for number in range(len(starts))]
        ticker = Ticker("record file")
        for number, start in enumerate(starts):
            cells = slice(start, min(start + settings.record_cells, sources.ncells))
            _Records(sources, settings, factor, targets, findings, cells).write(
                directory / files[number], provenance
            )
            ticker.tick(number + 1, len(starts))
        for file in {*directory.glob("records_*.nc")} - {directory / name for name in files}:
            file.unlink()  # of an earlier, longer dataset
        absent = [name for name in schema.TRAITS if name not in sources.parameters.pft]
        led = sources.start.summary()
        summary = findings.summary() | {"traits_absent": absent, "semi_analytic": led}
        write_json(directory / "cleaning.json", summary)
        listed = {
            "domains": json.dumps([domain.name]),
            "forcing": json.dumps({domain.name: sources.forcing.pieces.description}),
            "semi_analytic": json.dumps({domain.name: led}),
            "turnover": json.dumps({domain.name: [n for n in schema.TURNOVER if n in sources.scalars]}),
            "record_files": json.dumps([(file, provenance["dataset_id"]) for file in files]),
        }
        _write_cells(directory / "cells.nc", sources, findings, settings.record_cells, provenance | listed)
    labels = "no labels" if domain.reference_restart is None else f"{summary['trainable']} with usable labels"
    LOGGER.info("%d cells, %d with complete inputs, %s", summary["cells"], summary["complete"], labels)
    return summary


def _settled_factor(restart: Path, given: float | None, parameters: Parameters) -> float:
    """The factor that takes dead wood out of AD; where the restart is not of AD, it does nothing."""
    wood = read_wood(restart, parameters)
    if wood is None:
        return USUAL_FACTOR if given is None else given
    factor, rests_on = settle_factor(restart, given, wood)
    LOGGER.info("spinup_mortality_factor %g: %s", factor, rests_on)
    return factor


def _require_variables(sources: _Sources, targets: TargetSettings) -> None:
    for name in (*schema.STATE_VARIABLES, *schema.SOIL_VARIABLES, *targets.names):
        sources.restart.has(name)
    if sources.reference is not None:
        for name in targets.names:
            sources.reference.has(name)


def _provenance(domain: Domain, choices: dict[str, Any]) -> dict[str, str]:
    files = {
        role: getattr(domain, role) for role in (*_REQUIRED, "reference_restart", "reference_ad_restart")
    }
    digests: dict[str, Any] = {role: fingerprint(path) for role, path in files.items() if path is not None}
    several = {
        "history": domain.history,
        "soil_history": domain.soil_history,
        "forcing": domain.monthly,
        "reference_history": domain.reference_history,
    }
    digests |= {role: [fingerprint(path) for path in paths] for role, paths in several.items()}
    return {
        "settings_hash": settings_hash(choices),
        "input_sha256": json.dumps(digests),
        "dataset_id": settings_hash([digests, choices]),
    }


@dataclass(frozen=True)
class _Records:
    """The cells of one record file on their way from the sources to it."""

    sources: _Sources
    settings: FusionSettings
    mortality_factor: float
    targets: TargetSettings
    findings: Findings
    cells: slice

    def write(self, path: Path, provenance: dict[str, str]) -> None:
        """Reads, checks and writes the records; the findings grow on the way."""
        soil = self.sources.restart.soil(self.cells)
        fields = self._forcing() | self._static() | self._scalars()
        states = self._states(soil)
        to_normal = self._to_normal(soil)
        state20 = self._state20(soil, states, to_normal)
        fields |= self._inputs(soil, states) | state20 | self._steady(soil, states, to_normal, state20)
        fields |= self._course() | self._labels()
        coordinates = (
            self.sources.index.coordinates(self.cells)
            | month_coordinates(1, self.sources.forcing.pieces.years)
            | pft_coordinates()
            | layer_coordinates()
            | courses.window_coordinates()
            | self._traits()
        )
        attributes = {"title": "Records of land cells: inputs and labels of the surrogate", **provenance}
        write_product(
            path, xr.Dataset(fields | self._index(), coordinates, attributes), compressed=True, masked=True
        )

    def _index(self) -> Variables:
        source, cells = self.sources.restart, self.cells
        weight = source.subgrid.soil_fraction[source.row[cells]]
        self.findings.add("no_soil_column", cells, ~(weight > 0.0))
        self.findings.add("invalid_pft", cells, source.subgrid.unknown_cover[source.row[cells]] > 0.0)
        return index_variables(self.sources.index.columns(cells, source.cover(cells), self.findings))

    def _forcing(self) -> Variables:
        fields, dims = {}, ("gridcell", "time")
        for name in FORCING:
            values = self._checked("forcing", name, self.sources.forcing.read(name, self.cells))
            words = schema.units_of(name), LONG_NAMES[name]
            fields[name] = variable(dims, values.astype(np.float32), *words, group="forcing", **_MEAN)
        return fields

    def _static(self) -> Variables:
        level = dict.fromkeys(schema.STATIC_PFT, ("natpft",))
        level |= dict.fromkeys(schema.STATIC_LAYERS, ("levdecomp",))
        fields = {}
        for name in schema.STATIC:
            values = self._checked("static", name, self.sources.surface.read(name, self.cells))
            dims, long_name = ("gridcell", *level.get(name, ())), f"{name} of the surface data"
            fields[name] = variable(dims, values, schema.units_of(name), long_name, group="static")
        return fields

    def _traits(self) -> Variables:
        parameters = self.sources.parameters
        return {
            f"pft_{name}": variable("natpft", parameters.pft[name], *parameters.words[name], group="traits")
            for name in schema.TRAITS
            if name in parameters.pft
        }

    def _scalars(self) -> Variables:
        fields = {}
        for name, values in self.sources.scalars.items():
            checked = self._checked("scalars", name, values[self.cells])
            words = schema.units_of(name), f"{name} of the history, mean of the last forcing cycle"
            fields[name] = variable("gridcell", checked, *words, group="scalars", **_MEAN)
        return fields

    def _checked(self, group: str, name: str, values: np.ndarray) -> np.ndarray:
        return self.findings.check(group, self.cells, name, values, schema.plausible(name))

    def _states(self, soil: SoilColumns) -> dict[str, np.ndarray]:
        """What the restart holds of inputs and targets, by soil column."""
        source, normal = self.sources.restart, self.sources.restart.header.spinup_state == SPINUP_NORMAL
        return {
            name: self._read(source, soil, name, soil.covered)
            for name in dict.fromkeys((*schema.STATE_VARIABLES, *schema.SOIL_VARIABLES, *self.targets.names))
            # Outside of AD nothing averages the scalar, and a run that never was in AD holds fill.
            if source.has(name) and not (name == "scalaravg_col" and normal)
        }

    def _inputs(self, soil: SoilColumns, states: dict[str, np.ndarray]) -> Variables:
        """Groups state and soil."""
        header = self.sources.restart.header
        space = "ad" if header.spinup_state == SPINUP_AD else "normal"
        words = {"space": space, "model_year": np.int32(header.year)}
        fields = {}
        for name in (name for name in states if VARIABLES[name].is_input):
            group = "state" if VARIABLES[name].level == "patch" else "soil"
            fields[name] = _of_cells(soil, name, states[name], f"{name} of the restart", group, **words)
        return fields

    def _read(
        self, source: RestartSource, soil: SoilColumns, name: str, covered: np.ndarray, prefix: str = ""
    ) -> np.ndarray:
        """Reads a patch or layer variable of soil columns and marks what is wrong with it.

        Args:
            source: restart.
            soil: its columns.
            name: variable.
            covered: patches that must hold a value (soil, natpft).
            prefix: `label`, or empty for inputs.
        """
        below = "label_below_active_layers" if prefix else "below_active_layers"
        if VARIABLES[name].level == "patch":
            values, group, active = source.patch(name, soil), prefix or "state", covered
        else:
            values, deep = source.layers(name, soil)
            group, active = prefix or "soil", np.broadcast_to(soil.with_ground[:, None], values.shape)
            if name in POOL_VARIABLES:
                self.findings.add(
                    below, self.cells, (deep != 0.0) & soil.with_ground[:, None], name, soil.cell
                )
        return self.findings.check(group, self.cells, name, values, schema.plausible(name), active, soil.cell)

    def _to_normal(self, soil: SoilColumns) -> dict[str, np.ndarray]:
        """Cascade pool -> what takes its contents to normal mode (soil, levdecomp)."""
        header = self.sources.restart.header
        scalaravg = np.ones((len(soil.column), NLEVDECOMP))
        if header.spinup_state != SPINUP_AD:
            return dict.fromkeys(SOIL_POOL_INDEX, scalaravg)
        if rates_were_divided(header.year):
            scalaravg, _ = self.sources.restart.layers("scalaravg_col", soil)
        return design_multipliers(self.sources.parameters, header.year, scalaravg)

    def _state20(
        self, soil: SoilColumns, states: dict[str, np.ndarray], to_normal: dict[str, np.ndarray]
    ) -> Variables:
        """The 20-year values in normal mode: the state that knows nothing of the following centuries."""
        in_ad = self.sources.restart.header.spinup_state == SPINUP_AD
        fields: Variables = {}
        for name in (*self.targets.patch, *self.targets.layer):
            values = states[name]
            pool = VARIABLES[name]
            if in_ad and pool.accelerated == "mortality":
                values = values * self.mortality_factor
            elif in_ad and pool.accelerated == "decomposition":
                values = values * to_normal[str(pool.soil_pool)]
            long_name = f"{name} of the restart, taken to normal mode"
            fields[f"state20_{name}"] = _of_cells(soil, name, values, long_name, "state20", space="normal")
        return fields

    def _steady(
        self,
        soil: SoilColumns,
        states: dict[str, np.ndarray],
        to_normal: dict[str, np.ndarray],
        state20: Variables,
    ) -> Variables:
        """The semi-analytic state of the slow soil pools that are targets, in normal mode."""
        start = self.sources.start
        if start.years is None:
            return {}
        contents = np.stack([soil.mean(states[pool.variable("c")]).T for pool in SOIL_POOLS])
        factor = np.stack([soil.mean(to_normal[pool.name]).T for pool in SOIL_POOLS])
        ratio = start.ratios(self.cells, contents, factor, self.sources.restart.thaw(soil))
        fields: Variables = {}
        for name in self.targets.layer:
            pool = str(VARIABLES[name].soil_pool)
            if pool in STARTED:
                values = state20[f"state20_{name}"].to_numpy() * ratio[pool]
                words = (
                    schema.units_of(name),
                    f"{name} where the rates of the last years lead, in normal mode",
                )
                described = {"group": "steady", "space": "normal"}
                fields[f"steady_{name}"] = variable(schema.dims_of(name), values, *words, **described)
        return fields

    def _course(self) -> Variables:
        years = f"means of {courses.WINDOWS} windows of {courses.WINDOW_YEARS} years before the restart"
        fields: Variables = {}
        for name, values in self.sources.course.items():
            dims = ("gridcell", "window", "levdecomp")[: values.ndim]
            units, words = (courses.PLANTS | courses.SOIL)[name][0], f"{name} of the history, {years}"
            fields[f"course_{name}"] = variable(
                dims, values[self.cells], units, words, group="course", **_MEAN
            )
        return fields

    def _labels(self) -> Variables:
        reference, cells = self.sources.reference, self.cells
        if reference is None:
            return {}
        cover, wanted = reference.cover(cells), self.sources.restart.cover(cells)
        natural = self.sources.restart.has_soil(cells)
        differs = np.abs(cover - wanted) > PFT_WEIGHT_TOLERANCE
        self.findings.add("label_cover_differs", cells, differs & natural[:, None])
        words = {"space": "normal", "model_year": np.int32(reference.header.year)}
        soil = reference.soil(cells)
        # What the inputs cover needs a label, also where the reference has no patch of it.
        lacking = soil.with_ground[:, None] & (cover <= 0.0)[soil.cell]
        covered = (wanted > 0.0)[soil.cell] & (soil.covered | lacking)
        fields = {}
        for name in (*self.targets.patch, *self.targets.layer):
            values = self._read(reference, soil, name, covered, "label")
            fields[f"Y_{name}"] = _of_cells(soil, name, values, f"{name} of the reference", "target", **words)
        for name, values in self.sources.reference_scalars.items():
            checked, long_name = self._checked("label", name, values[cells]), f"{name} of the reference"
            long_name += ", mean of its last forcing cycle"
            described = {"group": "target", **words, **_MEAN}
            fields[f"Y_{name}"] = variable("gridcell", checked, schema.FLUX_UNITS, long_name, **described)
        if self.sources.reference_ad is not None:
            lacking = natural & ~self.sources.reference_ad.has_soil(cells)
            self.findings.add("label_cover_differs", cells, lacking)
            soil = self.sources.reference_ad.soil(cells)
            scalaravg, _ = self.sources.reference_ad.layers("scalaravg_col", soil)
            tiny = just_above_switch(scalaravg, self.settings.label_min_scalaravg)
            self.findings.add("label_scalaravg", cells, tiny & soil.with_ground, cell=soil.cell)
        return fields


def _of_cells(
    soil: SoilColumns, name: str, values: np.ndarray, long_name: str, group: str, **words: Any
) -> xr.Variable:
    """Means of the cells of a patch or layer variable of their soil columns."""
    means = soil.patch_mean(values) if VARIABLES[name].level == "patch" else soil.mean(values)
    return variable(schema.dims_of(name), means, schema.units_of(name), long_name, group=group, **words)


def _write_cells(
    path: Path, sources: _Sources, findings: Findings, record_cells: int, attributes: dict[str, str]
) -> None:
    """Writes the index of all cells, in dataset order."""
    index, everything = sources.index, slice(0, sources.ncells)
    record_file = np.arange(sources.ncells, dtype=np.int32) // record_cells
    columns = index.columns(everything, sources.restart.cover(everything), findings)
    columns |= {"record_file": record_file, "domain": np.zeros_like(record_file)}
    write_index(path, index.lat, index.lon, columns, attributes, index.first)
