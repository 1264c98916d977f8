"""Cases of the stand-in on the files of an embedded world, set up as a person would."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cime.double import DESK, Checkout
from tests.helpers.streams import write_streams

TAPES = """hist_empty_htapes = .true.
hist_fincl1 = 'TOTSOMC', 'TOTVEGC', 'GPP', 'SOIL3C_vr'
hist_fincl2 = 'TOTSOMC', 'TOTVEGC', 'GPP'
hist_nhtfrq = -17520, -8760
hist_mfilt = 1, 100
"""
AD = "-bgc bgc -nutrient cnp -nutrient_comp_pathway rd -soil_decomp ctc -methane -bgc_spinup on"


def run(case: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of a case."""
    return subprocess.run(
        [f"./{words[0]}", *words[1:]], cwd=case, capture_output=True, text=True, check=False
    )


def change(case: Path, **values: object) -> None:
    """Sets XML variables, one by one."""
    for name, value in values.items():
        result = run(case, "xmlchange", "--id", name, "--val", str(value))
        assert result.returncode == 0, result.stderr


def query(case: Path, name: str, *words: str) -> str:
    """The value of an XML variable."""
    return run(case, "xmlquery", name, "--value", *words).stdout


def namelist(case: Path, text: str, component: str = "elm") -> None:
    """Replaces the settings of a user_nl file."""
    (case / f"user_nl_{component}").write_text(text, encoding="utf-8")


def files_of(world: Path) -> str:
    """Settings of user_nl_elm: files of a world."""
    names = {"fsurdat": "surfdata", "paramfile": "clm_params", "fsoilordercon": "CNP_parameters"}
    return "".join(f"{name} = '{world}/{file}.nc'\n" for name, file in names.items())


def new_case(
    checkout: Checkout, world: Path, name: str = "ad", *, years: int = 2, machine: str = DESK
) -> Path:
    """A case that is set up for AD, not built yet."""
    case = checkout.new_case(name, machine=machine)
    domain = {"DOMAIN_PATH": world, "DOMAIN_FILE": "domain.lnd.nc", "NX": 24, "NY": 12}
    change(case, **{f"{part}_{key}": value for key, value in domain.items() for part in ("LND", "ATM")})
    change(case, DATM_MODE="uELM_TES", DATM_CLMNCEP_YR_START=1901, DATM_CLMNCEP_YR_END=1902)
    change(case, STOP_OPTION="nyears", STOP_N=years, REST_N=1, ELM_BLDNML_OPTS=AD, NTASKS=1)
    first = run(case, "case.setup", "--disable-git")
    assert "No default value found for fsurdat" in first.stderr
    for path in write_streams(case / "streams", world / "domain.lnd.nc", world / "forcing"):
        path.rename(case / path.name)
    settings = "suplphos = 'ALL'\nnyears_ad_carbon_only = 1\nspinup_mortality_factor = 10\n"
    namelist(case, files_of(world) + settings + TAPES)
    result = run(case, "case.setup", "--disable-git")
    assert result.returncode == 0, result.stderr
    return case


def built_case(checkout: Checkout, world: Path, name: str = "ad", **details: object) -> Path:
    """A case that is ready to run."""
    case = new_case(checkout, world, name, **details)  # type: ignore[arg-type]
    result = run(case, "case.build")
    assert result.returncode == 0, result.stderr
    return case
