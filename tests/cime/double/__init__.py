"""A stand-in for an E3SM checkout: CIME's commands, ELM's files, and the embedded land model inside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phase_lib.elm.soil_budget import NITROGEN_INPUTS
from phase_lib.landmodel.tapes import ANNUAL_FIELDS, CYCLE_FIELDS
from tests.cime.double.scripts.creating import TOOLS
from tests.cime.double.scripts.namelists import COMMON_INPUT
from tests.helpers.warm_phase import ADDRESS, CLIENT

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: Machines: one without a batch system, and one with SLURM.
DESK, CLUSTER = "desk", "cluster"
_TOOL = """#!{python} -IS
import sys
sys.path.insert(0, {library!r})
from scripts.tool import main
sys.exit(main())
"""
#: The embedded model is a program of its own, which the other ranks of a run leave to the first one.
_EXECUTABLE = """#!{python} -IS
import os, sys
of_slurm = [os.environ.get(name, "-") for name in ("SLURM_PROCID", "SLURM_NTASKS", "SLURMD_NODENAME")]
print("task {{}} of {{}} on {{}}".format(*of_slurm), flush=True)
if any(os.environ.get(name, "0") != "0" for name in ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")):
    sys.exit(0)
address, words = os.environ.get({variable!r}), [sys.argv[0], {source!r}]
if not address:
    paths = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), {root!r}]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.execv({python!r}, [{python!r}, "-m", "tests.cime.double.model", *words])
{client}"""
_MACHINES = """<?xml version="1.0"?>
<config_machines version="2.0">
{entries}</config_machines>
"""
_MACHINE = """  <machine MACH="{name}">
    <DESC>a machine of the tests</DESC>
    <OS>LINUX</OS>
    <COMPILERS>gnu,intel</COMPILERS>
    <MPILIBS>openmpi</MPILIBS>
    <PROJECT></PROJECT>
    <CIME_OUTPUT_ROOT>{root}/output</CIME_OUTPUT_ROOT>
    <DIN_LOC_ROOT>{root}/inputdata</DIN_LOC_ROOT>
    <DIN_LOC_ROOT_CLMFORC>{root}/inputdata/atm/datm7</DIN_LOC_ROOT_CLMFORC>
    <DOUT_S_ROOT>{root}/archive/$CASE</DOUT_S_ROOT>
    <BATCH_SYSTEM>{batch}</BATCH_SYSTEM>
    <MAX_TASKS_PER_NODE>{cores}</MAX_TASKS_PER_NODE>
    <MAX_MPITASKS_PER_NODE>{cores}</MAX_MPITASKS_PER_NODE>
    <mpirun mpilib="default">
      <executable>{launcher}</executable>
      <arguments>{arguments}</arguments>
    </mpirun>
    <RUNDIR>$CIME_OUTPUT_ROOT/$CASE/run</RUNDIR>
    <EXEROOT>$CIME_OUTPUT_ROOT/$CASE/bld</EXEROOT>
  </machine>
"""
_BATCH = f"""<?xml version="1.0"?>
<config_batch version="2.1">
  <batch_system MACH="{CLUSTER}" type="slurm">
    <directives><directive>--exclusive</directive></directives>
    <queues><queue default="true">cpu</queue></queues>
  </batch_system>
</config_batch>
"""
#: How ELM names history fields: most are spelt out, those of the soil's pools are put together at run time.
_FORTRAN = """\
          fieldname = trim(decomp_cascade_con%decomp_pool_name_history(l))//'C'
          call hist_addfld1d (fname=fieldname, units='gC/m^2', avgflag='A')
          call hist_addfld_decomp (fname='SOLUTIONP'//trim(vr_suffix), units='gp/m^3',  type2d='levdcmp')
"""


def _source_of_elm() -> str:
    """Lines of ELM's source that name history fields."""
    names = dict.fromkeys([*CYCLE_FIELDS, *ANNUAL_FIELDS, *NITROGEN_INPUTS])
    spelt_out = [name for name in names if name != "CWDC"]
    return _FORTRAN + "".join(f"    call hist_addfld1d (fname='{name}', avgflag='A')\n" for name in spelt_out)


@dataclass(frozen=True)
class Checkout:
    """A stand-in for E3SM in a directory.

    Attributes:
        root: the checkout, `land_model`'s source.
        place: directory that holds it, machine files, input data, and the output of all cases.
    """

    root: Path
    place: Path

    @property
    def machines(self) -> Path:
        """Directory with machine files, for --extra-machines-dir."""
        return self.place / "machines"

    @property
    def input_data(self) -> Path:
        """DIN_LOC_ROOT."""
        return self.place / "inputdata"

    @property
    def create_newcase(self) -> Path:
        """The command."""
        return self.root / "cime" / "scripts" / "create_newcase"

    @property
    def create_clone(self) -> Path:
        """The command."""
        return self.root / "cime" / "scripts" / "create_clone"

    def play(self, fault: str, case: str | None = None, *, times: int = 1, **details: Any) -> None:
        """Chooses a fault; the README has their names and details.

        Args:
            fault: its name.
            case: name of the case that has it; None for any.
            times: how often it is played.
            details: such as the model year.
        """
        path = self.root / "faults.json"
        entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        entries.append({"fault": fault, "case": case, "times": times, **details})
        path.write_text(json.dumps(entries, indent=1), encoding="utf-8")

    def new_case(self, name: str, *words: str, machine: str = DESK) -> Path:
        """Makes a case with the usual words; its directory."""
        case = self.place / "cases" / name
        usual = [
            "--compset",
            "I1850CNPRDCTCBC",
            "--res",
            "ELM_USRDAT",
            "--driver",
            "mct",
            "--machine",
            machine,
        ]
        usual += ["--compiler", "gnu", "--mpilib", "openmpi", "--extra-machines-dir", str(self.machines)]
        command = [self.create_newcase, "--case", case, *usual, "--handle-preexisting-dirs", "u", *words]
        subprocess.run(command, check=True, capture_output=True)
        return case


def lay_out(
    place: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    cores: int = 4,
    monthly: Path | None = None,
) -> Checkout:
    """Lays out a checkout, machine files and input data.

    Args:
        place: directory that will hold all of it.
        settings: of the embedded model inside, as the section `embedded` of a configuration.
        cores: of a node of the machines.
        monthly: means of the forcing that exist already, for runs that read the same files.
    """
    checkout = Checkout(place / "E3SM", place)
    library = checkout.root / "cime" / "CIME"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "scripts", library / "scripts", ignore=ignored)
    python = os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else sys.executable
    tool = _TOOL.format(python=python, library=str(library))
    for path in (
        checkout.create_newcase,
        checkout.create_clone,
        *(library / "Tools" / name for name in TOOLS),
    ):
        _program(path, tool)
    where = {"root": str(ROOT), "source": str(checkout.root), "variable": ADDRESS}
    _program(library / "e3sm.exe", _EXECUTABLE.format(python=python, client=CLIENT, **where))
    (checkout.root / "embedded.json").write_text(json.dumps(dict(settings or {})), encoding="utf-8")
    if monthly is not None:
        (checkout.root / "monthly.nc").symlink_to(monthly)
    source = checkout.root / "components" / "elm" / "src"
    source.mkdir(parents=True)
    (source / "ColumnDataType.F90").write_text(_source_of_elm(), encoding="utf-8")
    built_in = checkout.root / "cime_config" / "machines"
    entries = {
        DESK: {"batch": "none", "launcher": "env", "arguments": ""},
        CLUSTER: {
            "batch": "slurm",
            "launcher": "srun",
            "arguments": '<arg name="n">-n {{ total_tasks }}</arg>',
        },
    }
    for directory, names in ((built_in, ("anywhere",)), (checkout.machines, (DESK, CLUSTER))):
        directory.mkdir(parents=True)
        machines = [
            _MACHINE.format(name=name, root=place, cores=cores, **entries.get(name, entries[DESK]))
            for name in names
        ]
        text = _MACHINES.format(entries="".join(machines))
        (directory / "config_machines.xml").write_text(text, encoding="utf-8")
    (checkout.machines / "config_batch.xml").write_text(_BATCH, encoding="utf-8")
    for file in COMMON_INPUT.values():
        path = checkout.input_data / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return checkout


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
