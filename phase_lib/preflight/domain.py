"""One domain: what its files hold, and whether they belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.elm.calendar import date_of
from phase_lib.elm.constants import SPINUP_AD
from phase_lib.elm.domain import Domain as LandCells
from phase_lib.elm.domain import read_domain
from phase_lib.elm.netcdf import open_dataset
from phase_lib.elm.surface_content import check_shares
from phase_lib.forcing.comparison import fields_seen
from phase_lib.landmodel.domain import Domain
from phase_lib.preflight import agreement, facts, spinup
from phase_lib.preflight.facts import Cells, ForcingSummary, HistoryFacts, Restart, RestartSummary
from phase_lib.preflight.findings import Finding, attempt, refusals


@dataclass(frozen=True)
class HistorySummary:
    """A history in plain values: counts, the model years that it covers, and remarks on its land mask."""

    files: int
    samples: int
    first_year: float
    end_year: float
    fields: int
    remarks: tuple[str, ...] = ()

    def within(self, years: int) -> bool:
        """True where the history has several samples in that many years."""
        return self.samples * years > 1.5 * (self.end_year - self.first_year)

    def __str__(self) -> str:
        period = f"{date_of(self.first_year)} to {date_of(self.end_year)}"
        counts = f"{self.samples} samples in {self.files} files, {self.fields} fields"
        return "; ".join((f"{period}, {counts}", *self.remarks))


@dataclass(frozen=True)
class DomainSummary:
    """What was understood of a domain; None for what was not given or could not be read.

    Attributes:
        trains, target: whether it is trained on, and injected into.
        mortality_factor: `spinup_mortality_factor` of its AD run.
        wood: what the wood of its restart shows about that factor, in words.
        carbon_only_years, suplphos: of that run, by its `lnd_in`; None where that is not given.
        restart, history, soil_history, forcing: of the input run.
        land_cells: number of cells in the domain file.
        surface_shape: shape of the surface file.
        reference, reference_ad, reference_history: restarts and history of the reference.
        drift: of the targets, in words.
        forcing_seen: forcing variables that the run will compare with the history -> fields of the history.
        forcing_unseen: forcing variables that it cannot compare -> reason.
    """

    name: str
    trains: bool
    target: bool
    mortality_factor: float | None
    wood: str = ""
    carbon_only_years: int | None = None
    suplphos: str | None = None
    restart: RestartSummary | None = None
    land_cells: int | None = None
    surface_shape: tuple[int, ...] | None = None
    history: HistorySummary | None = None
    soil_history: HistorySummary | None = None
    forcing: ForcingSummary | None = None
    reference: RestartSummary | None = None
    reference_ad: RestartSummary | None = None
    reference_history: HistorySummary | None = None
    drift: str = ""
    forcing_seen: dict[str, str] = field(default_factory=dict)
    forcing_unseen: dict[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """Land cells, of the restart or else of the domain file."""
        return self.restart.cells if self.restart is not None else self.land_cells or 0


def check_domain(
    files: Domain, settings: EquilibriumSettings, soil_years: int, findings: list[Finding]
) -> DomainSummary:
    """Reads the headers of a domain's files and compares them with each other.

    Args:
        files: the files that exist.
        settings: thresholds for the drift of the targets.
        soil_years: last years of the input whose carbon budget of the soil is read.
        findings: list to which the findings are added.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    forcing = () if files.forcing is None else files.forcing.files
    for path in dict.fromkeys([*files.paths, *forcing]):
        with open_dataset(path):  # refuses files that are missing, truncated or no NetCDF
            pass
    return _DomainCheck(files, settings, soil_years, findings).run()


class _DomainCheck:
    """The checks of one domain, in the order of the data."""

    def __init__(
        self, files: Domain, settings: EquilibriumSettings, soil_years: int, findings: list[Finding]
    ) -> None:
        self.files, self.settings, self.findings = files, settings, findings
        self.soil_years = soil_years
        self.restart = None if files.restart is None else facts.read_restart(files.restart)
        self.land = None if files.domain is None else read_domain(files.domain)
        self.surface = None if files.surface is None else facts.read_surface_facts(files.surface)

    def run(self) -> DomainSummary:
        """What was understood of the domain."""
        files, restart = self.files, self.restart
        land, complete = self.land, False
        if restart is not None:
            self._take(spinup.check_input(restart))
            before = len(self.findings)
            attempt(self.findings, agreement.require_state, restart)
            complete = len(self.findings) == before
            if land is not None and not self._take(agreement.check_same_cells(restart.cells, _places(land))):
                land = None
            self._take(agreement.check_layers(restart, self.surface))
        sound = files.params is not None and self._take(agreement.check_parameters(files.params))
        wood = None
        if restart is not None and complete:
            parameters = files.params if sound else None
            wood = attempt(self.findings, spinup.judge_wood, restart, files, parameters)
        self._surface()
        history = self._history(files.history, _summary_of(restart), spinup.INPUT_FIELDS)
        if history is not None:
            self._take(spinup.check_sizes(history))
        soil_history = self._soil_history(_summary_of(restart))
        forcing = None
        if files.forcing is not None:
            forcing = attempt(self.findings, facts.read_forcing, files.forcing, land)
        forcing_seen: dict[str, str] = {}
        forcing_unseen: dict[str, str] = {}
        if forcing is not None and history is not None:
            seen, forcing_unseen = fields_seen(history.fields, history.no_means)
            forcing_seen = {name: str(recipe) for name, recipe in seen.items()}
        reference = self._other_restart(files.reference_restart, spinup.check_reference)
        reference_ad = self._other_restart(files.reference_ad_restart, spinup.check_reference_ad)
        reference_history = self._history(files.reference_history, reference, spinup.LABEL_FIELDS)
        drift = self._drift(reference_history) if files.trains and reference_history is not None else ""
        run = files.ad_settings
        return DomainSummary(
            name=files.name,
            trains=files.trains,
            target=files.target,
            mortality_factor=files.mortality_factor,
            wood=wood or "",
            carbon_only_years=None if run is None else run.carbon_only_years,
            suplphos=None if run is None else run.suplphos,
            restart=_summary_of(restart),
            land_cells=None if self.land is None else self.land.ncells,
            surface_shape=None if self.surface is None else self.surface.shape,
            history=_summary(history),
            soil_history=_summary(soil_history),
            forcing=forcing,
            reference=reference,
            reference_ad=reference_ad,
            reference_history=_summary(reference_history),
            drift=drift,
            forcing_seen=forcing_seen,
            forcing_unseen=forcing_unseen,
        )

    def _take(self, check: Iterator[Finding]) -> bool:
        """Adds the findings of a check; True if there are none."""
        before = len(self.findings)
        self.findings += refusals(check)
        return len(self.findings) == before

    @property
    def _cells(self) -> Cells | None:
        """The cells that other files are compared with: the restart's, else the domain file's."""
        if self.restart is not None:
            return self.restart.cells
        return None if self.land is None else _places(self.land)

    def _surface(self) -> None:
        """The surface file, where the cells are known."""
        surface, cells, soil_params = self.surface, self._cells, self.files.soil_params
        if surface is None or attempt(self.findings, agreement.require_fields, surface.cells.path) is None:
            return
        if cells is None or not self._take(agreement.check_surface_cells(surface, cells, self.land)):
            return
        path, restart = surface.cells.path, self.restart
        used = soil = np.ones(len(cells), dtype=bool)
        in_ad = False
        if restart is not None:
            grid, in_ad = restart.grid, restart.summary.spinup_state == SPINUP_AD
            used, soil = grid.has_soil, grid.soil_fraction > 0.0
        compared = restart is not None
        if attempt(self.findings, check_shares, path, cells.lat, cells.lon, soil, compared=compared) is None:
            return
        if restart is not None:
            self._take(agreement.check_ground(restart, path))
            self._take(agreement.check_cover(restart, path))
        if self.files.target:
            attempt(self.findings, agreement.check_areas, path, cells)
        complete = self.files.target and in_ad
        attempt(self.findings, agreement.check_maps, path, cells, soil, complete=complete)
        if soil_params is not None:
            self._take(agreement.check_soil_orders(soil_params, path, cells, used))

    def _history(
        self, paths: Sequence[Path], restart: RestartSummary | None, fields: tuple[str, ...]
    ) -> HistoryFacts | None:
        """The history of a run, compared with the restart at its end."""
        history = attempt(self.findings, facts.read_history, paths) if paths else None
        if history is None:
            return None
        if self._cells is not None:
            self._take(agreement.check_same_cells(self._cells, history.cells))
        self._take(spinup.check_fields(history, fields))
        if restart is not None:
            self._take(spinup.check_history(restart, history, self.files.cycle, fields))
        return history

    def _soil_history(self, restart: RestartSummary | None) -> HistoryFacts | None:
        """The history with the carbon budget of the soil, compared with the restart at its end."""
        files = self.files.soil_history
        history = attempt(self.findings, facts.read_history, files) if files else None
        if history is None:
            return None
        if self._cells is not None:
            self._take(agreement.check_same_cells(self._cells, history.cells))
        if restart is not None:
            self._take(spinup.check_soil_history(restart, history, files, self.soil_years))
        return history

    def _other_restart(
        self, path: Path | None, check: Callable[[Restart], Iterator[Finding]]
    ) -> RestartSummary | None:
        """A restart of the reference, compared with that of the input run; its cells are not kept."""
        if path is None:
            return None
        other = facts.read_restart(path)
        self._take(check(other))
        if check is spinup.check_reference:
            attempt(self.findings, agreement.require_state, other)
        if self.restart is not None:
            self._take(agreement.check_other_restart(self.restart, other))
        return other.summary

    def _drift(self, history: HistoryFacts) -> str:
        """The drift of the targets, in words."""
        judged = attempt(self.findings, spinup.judge_drift, history, self.files.cycle, self.settings)
        if judged is None:
            return "drift of the targets: could not be judged"
        self.findings += judged[1]
        return judged[0]


def _summary_of(restart: Restart | None) -> RestartSummary | None:
    return None if restart is None else restart.summary


def _places(land: LandCells) -> Cells:
    return Cells(land.path, land.lat, land.lon)


def _summary(history: HistoryFacts | None) -> HistorySummary | None:
    if history is None:
        return None
    first, end = float(np.min(history.start)), float(np.max(history.end))
    samples, remarks = len(history.start), history.grid.remarks
    return HistorySummary(history.files, samples, first, end, len(history.fields), remarks)
