"""The `cime` section: which E3SM, which machine, how a case is made, and how its jobs are run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from phase_lib.base.plugins import did_you_mean
from phase_lib.landmodel.cime.user_lines import SET_HERE, Component, names_in

#: Keys that say what the executable is: after a change it is built from nothing.
BUILD_KEYS = (
    "source",
    "machine",
    "compiler",
    "mpilib",
    "extra_machines_dir",
    "compset",
    "resolution",
    "driver",
    "xmlchange",
)
#: Keys that say what the model is: a change makes cases and segments again.
CASE_KEYS = (*BUILD_KEYS, "datm_mode", "streams", "namelists", "cases")
#: Keys that say how its jobs are run: a change repeats nothing.
RUN_KEYS = (
    "rebuild",
    "project",
    "queue",
    "tasks",
    "tasks_per_node",
    "mpi",
    "submit",
    "walltime_minutes",
    "margin_minutes",
    "force_stop_at",
    "restart_years",
    "years_per_day",
)

#: A run takes as much longer than the speed says where a start is slow or the file system busy.
SLACK = 1.25


@dataclass(frozen=True)
class Layout:
    """How a run is spread over nodes.

    Attributes:
        tasks: of MPI.
        cores: of a task.
        nodes: whole ones; None where the tasks of a node are not known.
    """

    tasks: int
    cores: int
    nodes: int | None


class CimeSettings(BaseModel):
    """ELM through CIME: the checkout, the machine, the case, and how its jobs run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(..., min_length=1, description="E3SM checkout, with its submodules")
    machine: str = Field(..., min_length=1, description="name of the machine, as CIME knows it")
    compiler: str | None = Field(None, description="compiler; null: the machine's default")
    mpilib: str | None = Field(None, description="MPI library; null: the machine's default")
    extra_machines_dir: str | None = Field(
        None, description="directory with config_machines.xml of a machine that E3SM does not know"
    )
    compset: str = Field(
        "1850_DATM%QIA_ELM%CNPRDCTCBC_SICE_SOCN_SROF_SGLC_SWAV",
        min_length=1,
        description="compset, alias or long name",
    )
    resolution: str = Field(
        "ELM_USRDAT",
        min_length=1,
        description="grid; ELM_USRDAT: the cells of domains.NAME.domain and surface",
    )
    driver: str = Field("mct", description="coupler")
    datm_mode: str | None = Field(
        None,
        description="DATM_MODE; null: the one of the compset. Its years are those of domains.NAME.forcing",
    )
    streams: list[str] = Field(
        default_factory=list,
        description="files user_datm.streams.txt.NAME, which replace the streams of that name",
    )
    xmlchange: dict[str, bool | int | float | str] = Field(
        default_factory=dict,
        description="further variables of the case: NAME -> value, as xmlchange takes it",
    )
    namelists: dict[Component, list[str]] = Field(
        default_factory=dict,
        description="further namelist lines, verbatim: elm, datm, cpl or mosart -> lines of its user_nl file",
    )
    cases: dict[str, str] = Field(
        default_factory=dict,
        description="cases that exist already: domain -> case directory. The runs are clones of it; the case "
        "itself is not changed, and built only with rebuild. datm_mode and streams are its own",
    )
    by_domain: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="keys of this section that differ for one domain: domain -> keys, such as tasks, streams",
    )
    rebuild: bool = Field(
        False,
        description="build a case of `cases`; one that was built is built again by "
        "`snakemake -R build_case_NAME`",
    )
    project: str | None = Field(None, description="project to charge, where the machine asks for one")
    queue: str | None = Field(None, description="queue of CIME's own jobs (submit: cime)")
    tasks: int | None = Field(
        None, ge=1, description="MPI tasks of every component; null: 1, or those of a case of `cases`"
    )
    tasks_per_node: int | None = Field(None, ge=1, description="tasks of a node; null: the machine's default")
    mpi: str = Field("srun", description="resource mpi of the job of a segment: what starts MPI there")
    submit: Literal["job", "cime"] = Field(
        "job",
        description="job: a segment runs in the job that Snakemake starts; cime: it is handed to CIME's own "
        "batch system, and a local rule waits for it",
    )
    walltime_minutes: int = Field(240, ge=1, description="limit of CIME's own jobs (submit: cime), minutes")
    margin_minutes: float = Field(
        10.0,
        gt=0.0,
        description="so long before the end of its job the model writes a restart and stops, minutes",
    )
    force_stop_at: Literal["day", "month", "year"] = Field(
        "day", description="with the job's time used up, the model stops at the end of such a period"
    )
    restart_years: int = Field(
        5,
        ge=1,
        description="a killed segment loses at most so many years; all these restarts are kept until "
        "the segment ends, years",
    )
    years_per_day: float | None = Field(
        None,
        gt=0.0,
        allow_inf_nan=False,
        description="speed, model years a day; with it the jobs ask for time, and the check knows the cost",
    )

    @field_validator("source", "extra_machines_dir")
    @classmethod
    def _expand(cls, name: str | None) -> str | None:
        return None if name is None else _expanded(name)

    @field_validator("streams")
    @classmethod
    def _expand_streams(cls, names: list[str]) -> list[str]:
        for name in names:
            if not Path(name).name.startswith("user_datm.streams.txt."):
                raise ValueError(f"{name} is not called user_datm.streams.txt.NAME")
        return [_expanded(name) for name in names]

    @field_validator("cases")
    @classmethod
    def _expand_cases(cls, cases: dict[str, str]) -> dict[str, str]:
        return {domain: _expanded(name) for domain, name in cases.items()}

    @model_validator(mode="after")
    def _leaves_alone_what_the_workflow_sets(self) -> Self:
        for name in self.xmlchange:
            if why := SET_HERE["xml"].get(name):
                raise ValueError(f"xmlchange sets {name}, which follows from {why}; leave it out")
        for component, lines in self.namelists.items():
            for name in names_in(lines):
                if why := SET_HERE[component].get(name):
                    raise ValueError(
                        f"namelists.{component} sets {name}, which follows from {why}; leave it out"
                    )
        return self

    @model_validator(mode="after")
    def _domains_have_keys_of_this_section(self) -> Self:
        known = set(type(self).model_fields) - {"by_domain", "cases"}
        for name, keys in self.by_domain.items():
            if unknown := [key for key in keys if key not in known]:
                hint = did_you_mean(unknown[0], sorted(known))
                raise ValueError(f"by_domain.{name} has {unknown[0]}; expected keys of this section{hint}")
            try:
                self.for_domain(name)
            except ValidationError as error:
                fault = error.errors()[0]
                place = ".".join(map(str, fault["loc"]))
                raise ValueError(f"by_domain.{name}.{place}: {fault['msg']}") from error
        return self

    def for_domain(self, name: str) -> CimeSettings:
        """The settings of one domain: its own keys, and of the cases only its own."""
        values = self.model_dump(exclude={"by_domain"}) | self.by_domain.get(name, {})
        values["cases"] = {domain: case for domain, case in self.cases.items() if domain == name}
        return CimeSettings.model_validate(values)

    @property
    def scripts(self) -> Path:
        """Where create_newcase and create_clone are."""
        return Path(self.source) / "cime" / "scripts"

    @property
    def walltime(self) -> str:
        """The limit of CIME's own jobs as CIME writes it."""
        return f"{self.walltime_minutes // 60:02d}:{self.walltime_minutes % 60:02d}:00"

    @property
    def minutes_per_year(self) -> float | None:
        """Time that a job is asked for each model year, minutes; None where the speed is not known."""
        return None if self.years_per_day is None else SLACK * 1440.0 / self.years_per_day

    @property
    def years_of_job(self) -> int:
        """Whole years for which one of CIME's own jobs has time; 0 where that is not known."""
        if self.minutes_per_year is None:
            return 0
        return int((self.walltime_minutes - self.margin_minutes) / self.minutes_per_year)

    @property
    def layout(self) -> Layout | None:
        """How a run is spread over nodes; None where a case that exists keeps its own tasks."""
        if self.tasks is None and self.cases:
            return None
        tasks, per_node = self.tasks or 1, self.tasks_per_node
        return Layout(tasks, 1, None if per_node is None else -(-tasks // per_node))


def _expanded(name: str) -> str:
    """With ~ and environment variables; one that is not set stays, and the check names the path."""
    return os.path.expandvars(os.path.expanduser(name))
