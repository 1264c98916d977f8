"""The executable of a domain, which all its runs share."""

from __future__ import annotations

from phase_lib.base.errors import InputError
from phase_lib.base.files import write_json
from phase_lib.base.progress import LOGGER
from phase_lib.landmodel.cime.case import Value
from phase_lib.landmodel.cime.cases import Cases
from phase_lib.landmodel.cime.launching import alone

#: Processes of `make`, in the XML of a case.
_MAKE = "GMAKE_J"


def build_base(cases: Cases, processes: int) -> None:
    """Builds the base case, where it has no executable, and notes where that is.

    A case that existed before is built only where the settings ask for it.

    Args:
        cases: of a domain.
        processes: of the compiler.

    Raises:
        InputError: a case that existed before is not built, and shall not be, or is in use.
        ModelAbort: the build failed.
    """
    base = cases.base
    complete = base.query("BUILD_COMPLETE") == "TRUE" and (base.path("EXEROOT") / "e3sm.exe").is_file()
    if cases.is_given and not cases.settings.rebuild and not complete:
        remedy = "build it (./case.build), or set cime.rebuild"
        raise InputError(base.directory, "is not built", expected="a case with its executable", remedy=remedy)
    if not complete or (cases.is_given and cases.settings.rebuild):
        LOGGER.info("building ELM in %s", base.directory)
        # A case that existed before may run: its model would lose the executable.
        with alone(base) if cases.is_given else base.locked():
            values: dict[str, Value] = {_MAKE: processes}
            base.change(values)
            base.build()
    write_json(
        cases.built, {"case": str(base.directory), "executable": str(base.path("EXEROOT") / "e3sm.exe")}
    )
