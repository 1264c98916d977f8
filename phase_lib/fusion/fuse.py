"""From the files of a land-model run to a dataset: one record for each land cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import directory_for, fingerprint, refused_as_input, require_file, write_json
from phase_lib.base.progress import LOGGER, Ticker
from phase_lib.base.provenance import code_version, settings_hash
from phase_lib.config.domains import EMBEDDED
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.targets import TargetSettings
from phase_lib.elm.constants import NATPFT, PFT_WEIGHT_TOLERANCE, SPINUP_AD, SPINUP_NORMAL
from phase_lib.elm.dead_wood import USUAL_FACTOR, read_wood, settle_factor
from phase_lib.elm.history import History
from phase_lib.elm.netcdf import create_dataset
from phase_lib.elm.parameters import Parameters, read_parameters
from phase_lib.elm.pools import DEAD_WOOD, POOL_VARIABLES
from phase_lib.elm.soil_grid import NLEVDECOMP
from phase_lib.elm.spinup import design_multipliers, rates_were_divided
from phase_lib.elm.subgrid import SoilColumns
from phase_lib.elm.surface_content import check_shares
from phase_lib.forcing import FORCING
from phase_lib.fusion.cleaning import Findings, just_above_switch
from phase_lib.fusion.schema import (
    FLUX_UNITS,
    SCALAR_TARGETS,
    SCALARS,
    SOIL_VARIABLES,
    STATE_VARIABLES,
    STATIC,
    STATIC_LAYERS,
    STATIC_PFT,
    TRAITS,
    Targets,
    dims_of,
    level_of,
    plausible,
    resolve_targets,
    units_of,
)
from phase_lib.fusion.sources import (
    ForcingSource,
    RestartSource,
    SurfaceSource,
    history_fluxes,
    open_forcing,
    open_restart,
    open_surface,
)


@dataclass(frozen=True)
class FusionInputs:
    """Files that make a dataset.

    Attributes:
        restart: restart at the end of the first forcing cycle of the AD run.
        history: history of the AD run that covers that cycle.
        surface: surface data.
        params: PFT and decomposition parameters.
        forcing: monthly means on the land cells, in one piece or several.
        reference_restart: final restart of the reference run in normal mode; None where there is no
            reference: the dataset then has no labels and no cell is trainable.
        reference_history: history that covers the reference's last forcing cycle.
        reference_ad_restart: restart at the end of the reference's AD part, for its `scalaravg_col`.
    """

    restart: Path
    history: tuple[Path, ...]
    surface: Path
    params: Path
    forcing: tuple[Path, ...]
    reference_restart: Path | None = None
    reference_history: tuple[Path, ...] = ()
    reference_ad_restart: Path | None = None

    def __post_init__(self) -> None:
        if self.reference_restart is not None and not self.reference_history:
            raise InputError(
                self.reference_restart, "comes without the history of its run", remedy="give the history too"
            )
        of_no_run = [*self.reference_history, *filter(None, [self.reference_ad_restart])]
        if self.reference_restart is None and of_no_run:
            raise InputError(
                of_no_run[0],
                "is of a reference run whose final restart is not given",
                remedy="give that restart too, or leave this out",
            )

    @property
    def single_files(self) -> dict[str, Path]:
        """Files by role, without history and forcing."""
        roles = ("restart", "surface", "params", "reference_restart", "reference_ad_restart")
        return {role: getattr(self, role) for role in roles if getattr(self, role) is not None}


@dataclass(frozen=True)
class Part:
    """One of several jobs that share the cells of a domain.

    Attributes:
        domain: name of the domain.
        number: which part, from 1.
        count: how many parts.
    """

    domain: str = EMBEDDED
    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(None, f"part {self.number} of {self.count}", expected=f"1 to {self.count}")

    def of(self, cells: np.ndarray) -> np.ndarray:
        """This part's share of the ordered cells: neighbours, as many as in the other parts.

        Raises:
            InputError: there are fewer cells than parts.
        """
        if self.count > len(cells):
            raise InputError(
                None,
                f"fusion.jobs is {self.count} for the {len(cells)} cells of {self.domain}",
                expected="at least one cell for each job",
            )
        return np.array_split(cells, self.count)[self.number - 1]


@dataclass(frozen=True)
class _Index:
    """The index group: (gridcell) in dataset order."""

    lat: np.ndarray
    lon: np.ndarray
    cell: np.ndarray
    area_km2: np.ndarray
    landfrac: np.ndarray

    def variables(self, cells: slice) -> Iterator[tuple[str, np.ndarray, str]]:
        yield "lat", self.lat[cells], "degrees_north"
        yield "lon", self.lon[cells], "degrees_east"
        yield "cell", self.cell[cells], "1"
        yield "area_km2", self.area_km2[cells], "km^2"
        yield "landfrac", self.landfrac[cells], "1"


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

    @property
    def ncells(self) -> int:
        return len(self.index.lat)


@contextmanager
def _open_sources(
    inputs: FusionInputs, settings: FusionSettings, history_years: int, part: Part
) -> Iterator[_Sources]:
    several = (*inputs.history, *inputs.forcing, *inputs.reference_history)
    for path in (*inputs.single_files.values(), *several):
        require_file(path)
    with ExitStack() as stack:
        restart = stack.enter_context(open_restart(inputs.restart))
        if restart.header.spinup_state is None:
            raise InputError(inputs.restart, "variable spinup_state is missing", expected="0 or 1")
        restart = replace(restart, row=part.of(restart.row))
        lat, lon = restart.subgrid.lat[restart.row], restart.subgrid.lon[restart.row]
        surface = stack.enter_context(open_surface(inputs.surface, lat, lon))
        grown = restart.subgrid.soil_fraction[restart.row] > 0.0
        check_shares(surface.path, lat, lon, grown, compared=True)
        forcing = stack.enter_context(open_forcing(inputs.forcing, lat, lon))
        scalars = history_fluxes(
            inputs.history,
            list(SCALARS),
            lat,
            lon,
            end_year=restart.header.year,
            years=history_years,
        )
        history = History(inputs.history)
        for remark in history.grid.remarks:
            LOGGER.warning("%s: %s", history.grid.path, remark)
        row = history.rows(lat, lon)
        index = _Index(lat, lon, restart.row, history.grid.area[row], history.grid.landfrac[row])
        reference = reference_ad = None
        reference_scalars: dict[str, np.ndarray] = {}
        if inputs.reference_restart is not None:
            reference = stack.enter_context(
                open_restart(inputs.reference_restart, (lat, lon), spinup_state=SPINUP_NORMAL)
            )
            reference_scalars = history_fluxes(
                inputs.reference_history,
                SCALAR_TARGETS,
                lat,
                lon,
                end_year=reference.header.year,
                years=history_years,
            )
        if inputs.reference_ad_restart is not None:
            reference_ad = stack.enter_context(
                open_restart(inputs.reference_ad_restart, (lat, lon), spinup_state=SPINUP_AD)
            )
        yield _Sources(
            index,
            restart,
            surface,
            forcing,
            read_parameters(inputs.params),
            scalars,
            reference,
            reference_scalars,
            reference_ad,
        )


def fuse(
    inputs: FusionInputs,
    settings: FusionSettings,
    targets: TargetSettings,
    output_dir: str | Path,
    *,
    mortality_factor: float | None,
    history_years: int,
    part: Part | None = None,
) -> dict[str, Any]:
    """Writes `batch_NN.nc`, `cleaning.json` and, last, `cells.nc`.

    The directory is a dataset of its own; `join_records` makes one of several.

    Args:
        inputs: files to read.
        settings: batch size and limits.
        targets: pools to predict.
        output_dir: the dataset's directory.
        mortality_factor: `spinup_mortality_factor` of the AD run; None to assume the usual one, if
            the wood of the restart shows it.
        history_years: years of history that GPP, NPP, AR and HR are averaged over: one forcing cycle.
        part: which share of the cells; all of them if None.

    Returns:
        The content of `cleaning.json`.

    Raises:
        InputError: a file is missing or damaged, variables are missing or have other units or
            dimensions, files lie on different grids, or spin-up states are not what they must be.
    """
    resolved, part = resolve_targets(targets.names), part or Part()
    with (
        _open_sources(inputs, settings, history_years, part) as sources,
        directory_for(output_dir, output_dir) as directory,
    ):
        _require_variables(sources, resolved)
        factor = _settled_factor(inputs.restart, mortality_factor, sources.parameters)
        choices = {
            "fusion": settings.model_dump(mode="json"),
            "targets": targets.names,
            "mortality_factor": factor,
            "history_years": history_years,
            "part": asdict(part),
        }
        provenance = _provenance(inputs, choices)
        # An index that does not belong to the batches must not survive an interrupted run.
        with refused_as_input(directory):
            (directory / "cells.nc").unlink(missing_ok=True)
        findings = Findings(sources.ncells, labelled=sources.reference is not None)
        starts = range(0, sources.ncells, settings.batch_cells)
        files = [f"batch_{number:02d}.nc" for number in range(len(starts))]
        ticker = Ticker("batch")
        for number, start in enumerate(starts):
            cells = slice(start, min(start + settings.batch_cells, sources.ncells))
            _Batch(sources, settings, factor, resolved, findings, cells).write(
                directory / files[number], provenance
            )
            ticker.tick(number + 1, len(starts))
        _remove_stale(directory, len(starts))
        summary = findings.summary() | {"traits_absent": _absent_traits(sources.parameters)}
        write_json(directory / "cleaning.json", summary)
        listed = {
            "domains": json.dumps([part.domain]),
            "forcing": json.dumps({part.domain: sources.forcing.description}),
            "batches": json.dumps([(file, provenance["dataset_id"]) for file in files]),
        }
        _write_cells(directory / "cells.nc", sources, findings, settings.batch_cells, provenance | listed)
    labels = "no labels" if inputs.reference_restart is None else f"{summary['trainable']} with usable labels"
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


def _require_variables(sources: _Sources, targets: Targets) -> None:
    for name in (*STATE_VARIABLES, *SOIL_VARIABLES, *targets.names):
        sources.restart.has(name)
    if sources.reference is not None:
        for name in targets.names:
            sources.reference.has(name)


def _provenance(inputs: FusionInputs, choices: dict[str, Any]) -> dict[str, str]:
    digests: dict[str, Any] = {role: fingerprint(path) for role, path in inputs.single_files.items()}
    for role in ("history", "forcing", "reference_history"):
        digests[role] = [fingerprint(path) for path in getattr(inputs, role)]
    return {
        "code_version": code_version(),
        "settings_hash": settings_hash(choices),
        "input_sha256": json.dumps(digests),
        "dataset_id": settings_hash([digests, choices]),
    }


def _remove_stale(directory: Path, batches: int) -> None:
    """Removes batches of an earlier, longer dataset."""
    for file in directory.glob("batch_*.nc"):
        if int(file.stem.removeprefix("batch_")) >= batches:
            file.unlink()


def _absent_traits(parameters: Parameters) -> list[str]:
    return [name for name in TRAITS if name not in parameters.pft]


@dataclass(frozen=True)
class _Batch:
    """One batch of cells on its way from the sources to its file."""

    sources: _Sources
    settings: FusionSettings
    mortality_factor: float
    targets: Targets
    findings: Findings
    cells: slice

    def write(self, path: Path, provenance: dict[str, str]) -> None:
        """Reads, checks and writes the batch; the findings grow on the way."""
        with create_dataset(path) as dataset:
            dataset.createDimension("gridcell", self.cells.stop - self.cells.start)
            dataset.createDimension("time", self.sources.forcing.months)
            dataset.createDimension("natpft", NATPFT)
            dataset.createDimension("levdecomp", NLEVDECOMP)
            for key, value in provenance.items():
                dataset.setncattr(key, value)
            self._forcing(dataset)
            self._static(dataset)
            self._traits(dataset)
            self._scalars(dataset)
            soil = self.sources.restart.soil(self.cells)
            self._state20(dataset, soil, self._states(dataset, soil))
            self._labels(dataset)
            self._index(dataset)

    def _index(self, dataset: netCDF4.Dataset) -> None:
        for name, values, units in self.sources.index.variables(self.cells):
            _put(dataset, name, ("gridcell",), values, units, "index")
        source, cells = self.sources.restart, self.cells
        cover = source.cover(cells)
        weight = source.subgrid.soil_fraction[source.row[cells]]
        self.findings.add("no_soil_column", cells, ~(weight > 0.0))
        self.findings.add("invalid_pft", cells, source.subgrid.unknown_cover[source.row[cells]] > 0.0)
        _put(dataset, "cover", ("gridcell", "natpft"), cover, "1", "index")
        _put(dataset, "covered", ("gridcell", "natpft"), (cover > 0.0).astype(np.int8), "1", "index")
        for name, flags in (("complete", self.findings.complete), ("trainable", self.findings.trainable)):
            _put(dataset, name, ("gridcell",), flags[cells].astype(np.int8), "1", "index")

    def _forcing(self, dataset: netCDF4.Dataset) -> None:
        for name in FORCING:
            values = self.sources.forcing.read(name, self.cells)
            values = self.findings.check("forcing", self.cells, name, values, plausible(name))
            _put(dataset, name, ("gridcell", "time"), values.astype(np.float32), units_of(name), "forcing")

    def _static(self, dataset: netCDF4.Dataset) -> None:
        for name in STATIC:
            level = ("natpft",) if name in STATIC_PFT else ("levdecomp",) if name in STATIC_LAYERS else ()
            values = self.sources.surface.read(name, self.cells)
            values = self.findings.check("static", self.cells, name, values, plausible(name))
            _put(dataset, name, ("gridcell", *level), values, units_of(name), "static")

    def _traits(self, dataset: netCDF4.Dataset) -> None:
        for name in TRAITS:
            if name in self.sources.parameters.pft:
                _put(dataset, f"pft_{name}", ("natpft",), self.sources.parameters.pft[name], None, "traits")

    def _scalars(self, dataset: netCDF4.Dataset) -> None:
        for name, values in self.sources.scalars.items():
            checked = self.findings.check("scalars", self.cells, name, values[self.cells], plausible(name))
            _put(dataset, name, ("gridcell",), checked, FLUX_UNITS, "scalars")

    def _states(self, dataset: netCDF4.Dataset, soil: SoilColumns) -> dict[str, np.ndarray]:
        """Writes groups state and soil; returns them with whatever else the targets need, by soil column."""
        source, header = self.sources.restart, self.sources.restart.header
        attributes = {
            "space": "ad" if header.spinup_state == SPINUP_AD else "normal",
            "model_year": np.int32(header.year),
        }
        values: dict[str, np.ndarray] = {}
        for name in dict.fromkeys((*STATE_VARIABLES, *SOIL_VARIABLES, *self.targets.names)):
            # Outside of AD nothing averages the scalar, and a run that never was in AD holds fill.
            if not source.has(name) or (name == "scalaravg_col" and header.spinup_state == SPINUP_NORMAL):
                continue
            values[name] = self._read(source, soil, name, soil.covered)
            group = {"patch": "state", "layer": "soil"}[level_of(name)]
            if name in STATE_VARIABLES or name in SOIL_VARIABLES:
                mean = _of_cells(soil, name, values[name])
                _put(dataset, name, dims_of(name), mean, units_of(name), group, **attributes)
        return values

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
        if level_of(name) == "patch":
            values, group, active = source.patch(name, soil), prefix or "state", covered
        else:
            values, deep = source.layers(name, soil)
            group, active = prefix or "soil", np.broadcast_to(soil.with_ground[:, None], values.shape)
            if name in POOL_VARIABLES:
                self.findings.add(
                    below, self.cells, (deep != 0.0) & soil.with_ground[:, None], name, soil.cell
                )
        return self.findings.check(group, self.cells, name, values, plausible(name), active, soil.cell)

    def _state20(self, dataset: netCDF4.Dataset, soil: SoilColumns, states: dict[str, np.ndarray]) -> None:
        """The 20-year values in normal mode: the state that knows nothing of the following centuries."""
        header = self.sources.restart.header
        multipliers: dict[str, np.ndarray] = {}
        if header.spinup_state == SPINUP_AD and self.targets.layer:
            scalaravg = np.ones((len(soil.column), NLEVDECOMP))
            if rates_were_divided(header.year):
                scalaravg, _ = self.sources.restart.layers("scalaravg_col", soil)
            multipliers = design_multipliers(self.sources.parameters, header.year, scalaravg)
        for name in self.targets.names:
            values = states[name]
            pool = POOL_VARIABLES.get(name)
            if header.spinup_state == SPINUP_AD and pool is not None and pool.in_ad_space:
                if pool.organ in DEAD_WOOD:
                    values = values * self.mortality_factor
                elif pool.soil_pool is not None:
                    values = values * multipliers[pool.soil_pool]
            mean = _of_cells(soil, name, values)
            _put(dataset, f"state20_{name}", dims_of(name), mean, units_of(name), "state20", space="normal")

    def _labels(self, dataset: netCDF4.Dataset) -> None:
        reference, cells = self.sources.reference, self.cells
        if reference is None:
            return
        cover, wanted = reference.cover(cells), self.sources.restart.cover(cells)
        natural = self.sources.restart.has_soil(cells)
        differs = np.abs(cover - wanted) > PFT_WEIGHT_TOLERANCE
        self.findings.add("label_cover_differs", cells, differs & natural[:, None])
        attributes = {"space": "normal", "model_year": np.int32(reference.header.year)}
        soil = reference.soil(cells)
        # What the inputs cover needs a label, also where the reference has no patch of it.
        lacking = soil.with_ground[:, None] & (cover <= 0.0)[soil.cell]
        covered = (wanted > 0.0)[soil.cell] & (soil.covered | lacking)
        for name in self.targets.names:
            mean = _of_cells(soil, name, self._read(reference, soil, name, covered, "label"))
            _put(dataset, f"Y_{name}", dims_of(name), mean, units_of(name), "target", **attributes)
        for name, values in self.sources.reference_scalars.items():
            checked = self.findings.check("label", cells, name, values[cells], plausible(name))
            _put(dataset, f"Y_{name}", ("gridcell",), checked, FLUX_UNITS, "target", **attributes)
        if self.sources.reference_ad is not None:
            lacking = natural & ~self.sources.reference_ad.has_soil(cells)
            self.findings.add("label_cover_differs", cells, lacking)
            soil = self.sources.reference_ad.soil(cells)
            scalaravg, _ = self.sources.reference_ad.layers("scalaravg_col", soil)
            tiny = just_above_switch(scalaravg, self.settings.label_min_scalaravg)
            self.findings.add("label_scalaravg", cells, tiny & soil.with_ground, cell=soil.cell)


def _of_cells(soil: SoilColumns, name: str, values: np.ndarray) -> np.ndarray:
    """Means of the cells of a patch or layer variable of their soil columns."""
    return soil.patch_mean(values) if level_of(name) == "patch" else soil.mean(values)


def _put(
    dataset: netCDF4.Dataset,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    units: str | None,
    group: str,
    **attributes: Any,
) -> None:
    fill = np.nan if values.dtype.kind == "f" else None
    variable = dataset.createVariable(
        name, values.dtype, dims, fill_value=fill, compression="zlib", complevel=1
    )
    if units is not None:
        variable.units = units
    variable.setncattr("group", group)
    for key, value in attributes.items():
        variable.setncattr(key, value)
    variable[...] = values


def _write_cells(
    path: Path, sources: _Sources, findings: Findings, batch_cells: int, provenance: dict[str, str]
) -> None:
    """Writes the index of all cells, in dataset order."""
    everything = slice(0, sources.ncells)
    with create_dataset(path) as dataset:
        dataset.createDimension("gridcell", sources.ncells)
        dataset.createDimension("natpft", NATPFT)
        for key, value in provenance.items():
            dataset.setncattr(key, value)
        for name, values, units in sources.index.variables(everything):
            _put(dataset, name, ("gridcell",), values, units, "index")
        cover = sources.restart.cover(everything)
        _put(dataset, "cover", ("gridcell", "natpft"), cover, "1", "index")
        _put(dataset, "covered", ("gridcell", "natpft"), (cover > 0.0).astype(np.int8), "1", "index")
        for name, flags in (("complete", findings.complete), ("trainable", findings.trainable)):
            _put(dataset, name, ("gridcell",), flags.astype(np.int8), "1", "index")
        batch = np.arange(sources.ncells, dtype=np.int32) // batch_cells
        _put(dataset, "batch", ("gridcell",), batch, "1", "index")
        _put(dataset, "domain", ("gridcell",), np.zeros_like(batch), "1", "index")
