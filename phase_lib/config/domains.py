"""The sections `domains`, `training` and `target`: which files are read, and what for."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from phase_lib.config.layouts import LAYOUTS, layout_class
from phase_lib.config.section import Section

#: Name of the domain that the embedded land model makes.
_EMBEDDED = "embedded"


class ForcingFiles(Section):
    """Atmospheric forcing of a domain: which files, which years of them, and how they are laid out."""

    kind: str = Field("datm", description=f"layout of the files. {LAYOUTS.summary}")
    files: list[str] = Field(
        default_factory=list,
        description="files, or patterns with * and ?; of kind history: the domain's history where empty",
    )
    product: str = Field(
        ...,
        min_length=1,
        description="name of the data set, for example GSWP3 v1; training and target must have the same",
    )
    first_year: int = Field(..., ge=1, description="first year of the forcing cycle")
    years: int = Field(20, ge=1, description="length of the forcing cycle, years")
    align_year: int = Field(
        1,
        description="model year that sees the first year of the cycle (DATM_CLMNCEP_YR_ALIGN); of kind "
        "history, whose years are the model's own, first_year itself or whole cycles off it",
    )
    limit_km: float = Field(
        50.0, gt=0.0, allow_inf_nan=False, description="farthest that a cell may lie from its forcing point"
    )

    @field_validator("kind")
    @classmethod
    def _kind_is_a_layout(cls, kind: str) -> str:
        LAYOUTS.place(kind)
        return kind

    @property
    def needs_files(self) -> bool:
        """False where the forcing may be read from the domain's own history, whose years are the model's."""
        return not layout_class(self.kind).in_model_years

    @model_validator(mode="after")
    def _history_is_in_model_years(self) -> Self:
        if not self.needs_files and (self.first_year - self.align_year) % self.years:
            raise ValueError(
                f"align_year is {self.align_year}, but the history's first year {self.first_year} is a model "
                f"year; expected align_year {self.first_year}"
            )
        return self


class DomainFiles(Section):
    """Files of a domain; those that its land model can make may be left out."""

    domain: str | None = Field(None, min_length=1, description="domain file")
    surface: str | None = Field(None, min_length=1, description="surface data (fsurdat)")
    params: str | None = Field(None, min_length=1, description="PFT and decomposition parameters (paramfile)")
    soil_params: str | None = Field(None, min_length=1, description="soil-order parameters (fsoilordercon)")
    forcing: ForcingFiles | None = Field(None, description="atmospheric forcing")
    restart: str | None = Field(
        None,
        min_length=1,
        description="restart at the end of the first forcing cycle; where it is not given, "
        "land_model.backend runs the AD years up to it",
    )
    history: list[str] = Field(
        default_factory=list, description="history that covers that cycle: files, or patterns with * and ?"
    )
    soil_history: list[str] = Field(
        default_factory=list,
        description="annual or finer history of the last of these years with the carbon budget of the soil, "
        "where it is on another tape than history",
    )
    lnd_in: str | None = Field(
        None,
        description="lnd_in of the AD run that wrote the restart, or its case directory: "
        "spinup_mortality_factor, nyears_ad_carbon_only and suplphos are read from it, with ELM's defaults "
        "(1, 0, ALL) where it has no line",
    )
    spinup_mortality_factor: float | None = Field(
        None,
        ge=1.0,
        allow_inf_nan=False,
        description="factor on dead wood mortality in that AD run; required with a restart and without "
        "lnd_in. ELM's default is 1, many protocols set 10",
    )
    reference_restart: str | None = Field(
        None,
        description="final restart of the reference run: the labels; for training, where it is not given, "
        "land_model.backend runs the reference",
    )
    reference_history: list[str] = Field(
        default_factory=list,
        description="history of the reference's last forcing cycle; with two cycles its drift is judged",
    )
    reference_ad_restart: str | None = Field(
        None, description="restart at the end of the reference's AD part, for its scalaravg_col"
    )

    @model_validator(mode="after")
    def _runs_are_whole(self) -> Self:
        for restart, history in (("restart", "history"), ("reference_restart", "reference_history")):
            there, absent = (restart, history) if getattr(self, restart) else (history, restart)
            if bool(getattr(self, restart)) != bool(getattr(self, history)):
                raise ValueError(f"has a {there} and no {absent}; give both, or neither")
        if self.restart is None:
            if self.soil_history:
                raise ValueError(
                    "has soil_history, which is of the run that wrote the restart, and no restart; give it, "
                    "or leave soil_history out: runs of this workflow write their own"
                )
            for key in ("lnd_in", "spinup_mortality_factor"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"has {key}, which is of the run that wrote the restart, and no restart; give it, or "
                        f"leave {key} out: for runs of this workflow spinup has the factor"
                    )
        elif self.lnd_in is None and self.spinup_mortality_factor is None:
            raise ValueError(
                "spinup_mortality_factor is missing, and so is lnd_in; expected one of them: give lnd_in, "
                "the file or its case directory, or the factor that stands in it, 1 where it has no line"
            )
        return self


class TrainingDomains(Section):
    """Whose cells the surrogate learns from."""

    domains: list[str] = Field(
        default=[_EMBEDDED],
        min_length=1,
        description="domains with a reference run, or with a land model that can run one: `embedded`, which "
        "the embedded land model makes and runs, or names of the section `domains`",
    )


class TargetDomain(Section):
    """Whose restart is injected."""

    domain: str = Field(
        _EMBEDDED,
        description="a name of the section `domains`, or `embedded` with land_model.backend embedded",
    )
    prediction_jobs: int = Field(
        1, ge=1, description="jobs that share the prediction of its cells, at the same time on a cluster"
    )
