"""The years of a run of the stand-in for ELM: integration, history, restarts, and the faults among them."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np
import torch

from phase_lib.base.errors import InputError, ModelAbort
from phase_lib.elm.constants import DAYS_PER_MONTH, DAYS_PER_YEAR, SECONDS_PER_YEAR
from phase_lib.landmodel.domain import Segment
from phase_lib.landmodel.embedded import model as model_module
from phase_lib.landmodel.embedded import segment as embedded
from phase_lib.landmodel.embedded.environment import compute_environment
from phase_lib.landmodel.embedded.model import EmbeddedModel, Protocol
from phase_lib.landmodel.embedded.restart import write_restart
from phase_lib.landmodel.embedded.settings import EmbeddedSettings
from phase_lib.landmodel.embedded.site import Site
from phase_lib.landmodel.embedded.state import DISPLAY, LEAF, C, from_state, to_state
from phase_lib.landmodel.embedded.vegetation import leaf_area
from tests.cime.double.tapes import ABSENT, HOURS_PER_YEAR, SEEN, Sample, Tape, layered_names, name_history

if TYPE_CHECKING:
    from tests.cime.double.model import Run

#: Components with a pointer to their restart.
POINTERS = ("drv", "lnd", "atm")


class Integration:
    """The years of a run, its history and restarts."""

    def __init__(self, run: Run, settings: EmbeddedSettings, snapshot: Any) -> None:
        self.whole_run, self.names, self.logs = run, run.names, run.logs
        self.inputs, self.snapshot = run.inputs, snapshot
        mode = "ad" if run.mode else "normal"
        self.segment = Segment(run.case, mode, run.first_year, 1, None, run.domain, run.directory, run.spinup)
        protocol = Protocol(mode, run.spinup.nyears_ad_carbon_only, run.spinup.spinup_mortality_factor)
        count = -(-self.inputs.domain.ncells // embedded.BLOCK_CELLS)
        edges = np.linspace(0, self.inputs.domain.ncells, count + 1).round().astype(int).tolist()
        torch.set_num_threads(1)
        self.blocks = []
        co2 = self.names.number("co2_ppmv", settings.co2_ppm)
        for start, stop in pairwise(edges):
            cells = slice(start, stop)
            site = Site(self.inputs.site.select(cells), torch.device(settings.device))
            values = {name: array[:, cells] for name, array in self.inputs.forcing.values.items()}
            environment = compute_environment(site, replace(self.inputs.forcing, values=values), co2)
            state = to_state({name: array[cells] for name, array in snapshot.items()}, site)
            numbers = list(range(start + 1, stop + 1))
            try:
                self.blocks.append((cells, EmbeddedModel(site, environment, state, protocol, numbers)))
            except ModelAbort as error:
                self.logs.stop(str(error), file="restFileMod.F90", number=950)

    @property
    def year(self) -> int:
        """Model year at whose start the model stands."""
        return self.whole_run.year

    def run(self) -> None:
        """Years up to the stop, with restarts where their alarm rings."""
        stop = self._years("stop")
        interval = self._years("restart")
        tapes = self._tapes()
        first, days = self.year, self.whole_run.days
        stop = None if stop is None else stop + days / DAYS_PER_YEAR
        if not self.whole_run.continues:
            for tape in tapes:
                tape.write_first(self._state_sample())
        if stop is not None and round(stop, 6) < 1:
            self._stay(tapes, stop)
            return
        end = first + round(stop) if stop is not None else 10**6
        if stop is not None and abs(stop - round(stop)) > 1e-6:
            self.logs.stop("the stand-in for ELM stops on the first of January")
        forced = False
        while self.year < end:
            self._year()
            try:
                for tape in tapes:
                    tape.add(self.year, self.sample)
            except InputError as error:
                self.logs.stop(str(error), file="histFileMod.F90")
            within = False
            if not forced and self.year < end and self._out_of_time():
                # The driver stops at the next such date after it saw that.
                forced, within = True, self.names.text("force_stop_at") == "day"
                end = self.year + 1
            last = self.year == end
            # Alarms count from the date of this start.
            past = (self.year - first) * DAYS_PER_YEAR - days
            alarm = 0 if interval is None else round(interval * DAYS_PER_YEAR)
            rings = alarm > 0 and past % alarm == 0
            if rings or (last and (forced or self.names.text("end_restart") == ".true.")):
                self._restart(tapes)
            if within:
                self.whole_run.days = 1
                self._restart(tapes)
                self._end(tapes, self.year - first, self.year * 10000 + 102)
                return
        self._end(tapes, (self.year - first), self.year * 10000 + 101)

    def _years(self, alarm: str) -> float | None:
        """Interval of an alarm in years; None where it never rings."""
        option, number = self.names.text(f"{alarm}_option"), self.names.number(f"{alarm}_n", -999)
        units = {
            "nyear": 1.0,
            "nmonth": 1.0 / 12.0,
            "nday": 1.0 / DAYS_PER_YEAR,
            "nhour": 1.0 / HOURS_PER_YEAR,
        }
        unit = units.get(option.rstrip("s"))
        return None if unit is None else number * unit

    def _tapes(self) -> list[Tape]:
        run = self.whole_run
        try:
            if run.continues:
                return Tape.read_all(run.directory, run.case, run.date, self.inputs)
            return Tape.from_namelist(self.names, run.directory, run.case, run.first_year, self.inputs)
        except InputError as error:
            self.logs.stop(str(error), file="histFileMod.F90", number=670)

    def _year(self) -> None:
        year = self.year
        if self.whole_run.fault("abort", year):
            self.logs.stop("urban net radiation balance error", file="UrbanRadiationMod.F90", number=402)
        if self.whole_run.fault("balance", year):
            self.logs.land(
                "column cbalance error =   -2.34E-005          17", "Latdeg,Londeg         =    60.0   25.0"
            )
            self.logs.stop(
                "begcb                 =   12345.6", file="EcosystemBalanceCheckMod.F90", number=330
            )
        if self.whole_run.fault("kill", year):
            self.whole_run.die()
        if self.whole_run.fault("node", year):
            self.whole_run.die(alone=True)
        parts = []
        for _, model in self.blocks:
            model.reset_means()
            try:
                model.run_year(year)
            except ModelAbort as error:
                kind = "pbalance" if error.args[0].startswith("P") else "cbalance"
                self.logs.stop(
                    f"column {kind} error = {error}", file="EcosystemBalanceCheckMod.F90", number=330
                )
            fields = embedded._annual_fields(model, year)
            layers = dict(zip(embedded.LAYERED, _by_name(model.soil_mean), strict=True))
            layers |= {
                name: flux.cpu().numpy() / SECONDS_PER_YEAR for name, flux in model.soil_fluxes().items()
            }
            parts.append((fields, layers))
        fields, layers = (_joined([part[kind] for part in parts]) for kind in (0, 1))
        self.sample = Sample(fields | self._seen(year), layers, self._state())
        self.whole_run.year, self.whole_run.days = year + 1, 0
        self.logs.land(f"Beginning timestep   : {self.year:04d}-01-01_00:00:00")

    def _seen(self, year: int) -> dict[str, np.ndarray]:
        """Annual means of what the model was driven with, and of what it does not have."""
        forcing = self.inputs.forcing
        absent = {name: np.zeros(self.inputs.domain.ncells) for name in ABSENT}
        first = 12 * ((year - 1) % forcing.years)
        days = np.array(DAYS_PER_MONTH)[:, None] / DAYS_PER_YEAR
        return absent | {
            name: (forcing.values[variable][first : first + 12] * days).sum(axis=0)
            for name, (_, variable) in SEEN.items()
        }

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Stocks as they are now: columns and layers."""
        parts = []
        for _, model in self.blocks:
            stocks = {name: stock(model).cpu().numpy() for name, stock in model_module._STOCK_MEANS.items()}
            names = ("TOTVEGC", "TOTLITC", "TOTSOMC", "CWDC")
            stocks["TOTECOSYSC"] = np.sum([stocks[name] for name in names], axis=0)
            stocks["TLAI"] = _leaf_area(model)
            parts.append((stocks, dict(zip(embedded.LAYERED, _by_name(model.state.soil), strict=True))))
        columns, layers = (_joined([part[kind] for part in parts]) for kind in (0, 1))
        return columns, layers

    def _state_sample(self) -> Sample:
        """What a sample at step 0 holds: the stocks as they are, and no fluxes."""
        stocks, layers = self._state()
        cells = self.inputs.domain.ncells
        columns = {name: np.zeros(cells) for name in (*embedded.FIELDS, *SEEN, *ABSENT)} | stocks
        zeros = {name: np.zeros((10, cells)) for name in layered_names()}
        return Sample(columns, zeros | layers, (stocks, layers))

    def _stay(self, tapes: list[Tape], years: float) -> None:
        """A run of some days: long enough to see the state as it was read, which does not change."""
        hours = round(years * HOURS_PER_YEAR)
        for tape in tapes:
            tape.write_hours(hours, self._state_sample())
        days = hours // 24
        self._end(tapes, years, self.year * 10000 + 101 + days if days < 31 else self.year * 10000 + 101)

    def _out_of_time(self) -> bool:
        limit = self.names.number("wall_time_limit", -1.0)
        if limit <= 0.0:
            return False
        hours = (time.time() - self.whole_run.began) / 3600.0
        reached = hours > limit or self.whole_run.fault("early_stop", self.year)
        if reached:
            period = self.names.text("force_stop_at")
            if period not in ("day", "year"):
                self.logs.stop("the stand-in for the driver stops at force_stop_at = 'day' or 'year' only")
            stop = self.year * 10000 + 102 if period == "day" else (self.year + 1) * 10000 + 101
            self.logs.driver(
                f"(cime_run)  reached wall_time_limit (hours) ={limit:10.2f} :stop at {stop:08d}"
            )
        return reached

    # --- restarts -------------------------------------------------------------------------------

    def _restart(self, tapes: list[Tape]) -> None:
        run, case, directory = self.whole_run, self.whole_run.case, self.whole_run.directory
        date = f"{run.date}-00000"
        for name in POINTERS:
            pointer = directory / f"rpointer.{name}"
            if pointer.is_file():
                (directory / f"rpointer.{name}.prev").write_text(pointer.read_text())
        snapshots, physics = [], []
        for cells, model in self.blocks:
            base = {name: array[cells] for name, array in self.snapshot.items()}
            snapshots.append(from_state(model.state, model.site, base))
            physics.append(embedded._physics(model.env, self.year))
        whole = replace(self.segment, years=self.year - run.first_year)
        write_restart(whole, _first_axis(snapshots), _first_axis(physics), self.inputs)
        path = whole.restart
        if run.days:
            path = shutil.copyfile(path, path.with_name(f"{case}.elm.r.{date}.nc"))
        ymd = self.year * 10000 + 101 + run.days
        with netCDF4.Dataset(path, "r+") as dataset:
            dataset["timemgr_rst_curr_ymd"][...] = ymd
            name_history(dataset, tapes, date)
        (directory / "rpointer.lnd").write_text(f"./{path.name}".ljust(256) + "\n")
        if run.fault("kill_in_restart", self.year):
            _truncate(path)
            run.die()
        for tape in tapes:
            tape.write_restart(date)
        if run.fault("truncated_restart", self.year):
            _truncate(path)
        (directory / f"{case}.datm.rs1.{date}.bin").write_bytes(b"streams")
        both = (f"{case}.datm.r.{date}.nc", f"{case}.datm.rs1.{date}.bin")
        (directory / "rpointer.atm").write_text("".join(f"{name.ljust(256)}\n" for name in both))
        with netCDF4.Dataset(
            directory / f"{case}.cpl.r.{date}.nc", "w", format="NETCDF3_64BIT_DATA"
        ) as dataset:
            for name, value in (("start_ymd", run.first_year * 10000 + 101), ("curr_ymd", ymd)):
                dataset.createVariable(f"seq_timemgr_{name}", "i4", ())[...] = value
        (directory / "rpointer.drv").write_text(f"{case}.cpl.r.{date}.nc".ljust(256) + "\n")
        for name in POINTERS:
            (directory / f"rpointer.{name}.prev").unlink(missing_ok=True)
        self.logs.land(f"(OPNFIL): Successfully wrote local restart file {path.name}")

    def _end(self, tapes: list[Tape], years: float, ymd: int) -> None:
        run = self.whole_run
        timing = run.directory / "timing"
        timing.mkdir(exist_ok=True)
        seconds = time.time() - run.began
        (timing / "seconds").write_text(f"{0.1:.3f} {max(seconds, 1e-3):.3f} {years:.6f}\n")
        frame = "(seq_mct_drv): =============== "
        self.logs.driver(
            "", f"{frame}{'SUCCESSFUL TERMINATION OF CPL7-MCT in e3sm':>44s} ===============",
            f"{frame}{'  at YMD,TOD = ':>20s}  {ymd:08d}{0:8d}       ===============",
            f"{frame}{'# simulated days (this run) = ':>31s}{years * DAYS_PER_YEAR:12.3f}  ===============",
        )  # fmt: skip
        pointer = run.directory / "rpointer.lnd"
        if run.fault("no_rpointer", self.year):
            pointer.unlink()
        if run.fault("empty_rpointer", self.year):
            pointer.write_text("")


def _leaf_area(model: EmbeddedModel) -> np.ndarray:
    leafc = model.state.organs[C, LEAF, DISPLAY]
    area = leaf_area(leafc, model.site.p["slatop"], model.site.p["dsladlai"])
    return model._column(area).cpu().numpy()


def _by_name(soil: torch.Tensor) -> np.ndarray:
    contents = soil.cpu().numpy()
    return contents.reshape(-1, *contents.shape[2:])


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def _first_axis(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
