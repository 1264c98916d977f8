"""The cases of a domain: the base case, which is made and built once, and a clone of it for each run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phase_lib.base.errors import InputError
from phase_lib.base.files import fingerprint, read_json, require_file, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import settings_hash
from phase_lib.elm.domain import read_domain
from phase_lib.landmodel.cime.case import Case, Done, Value, command
from phase_lib.landmodel.cime.launching import alone
from phase_lib.landmodel.cime.run_files import RunFiles
from phase_lib.landmodel.cime.settings import BUILD_KEYS, CASE_KEYS, CimeSettings
from phase_lib.landmodel.cime.streams import read_streams
from phase_lib.landmodel.cime.user_lines import SET_HERE, Component, names_in, setting, without
from phase_lib.landmodel.domain import RUN_FILES, Domain, Forcing

#: Name of the base case, and of the files that say how a case and an executable were made.
BASE, MADE, BUILT = "base", "case.json", "built.json"
#: Files of a domain -> their names in `lnd_in`.
LND_IN = {
    "domain": "fatmlndfrc",
    "surface": "fsurdat",
    "params": "paramfile",
    "soil_params": "fsoilordercon",
}
#: The grid that takes the cells of the domain's own files.
USER_GRID = "ELM_USRDAT"
#: Components whose lines are those of a run (`base_lines`); others a case keeps as it was made.
_TAKEN_BY_CLONES = ("elm", "cpl")
#: The longest path that a namelist of ELM takes.
_LONGEST_PATH = 256


@dataclass(frozen=True)
class Cases:
    """The cases of one domain.

    Attributes:
        directory: of all of them, and of what they write.
        settings: of the section `cime`.
        domain: its name.
    """

    directory: Path
    settings: CimeSettings
    domain: str

    @property
    def base(self) -> Case:
        """The case that the runs are clones of."""
        given = self.settings.cases.get(self.domain)
        return Case(Path(given) if given else self.directory / BASE)

    @property
    def is_given(self) -> bool:
        """True where the base case existed before."""
        return self.domain in self.settings.cases

    @property
    def made(self) -> Path:
        """Says how the base case was made: its settings, and its files."""
        return self.directory / MADE

    @property
    def built(self) -> Path:
        """Says where the executable is."""
        return self.directory / BUILT

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files that the base case depends on, beside those of the domain."""
        if self.is_given:
            return tuple(sorted(self.base.directory.glob("user_nl_*"))) + tuple(
                self.base.directory.glob("env_run.xml")
            )
        return tuple(map(Path, self.settings.streams))

    def link(self, key: str) -> Path:
        """A link to a file that the case has chosen."""
        return self.directory / f"{key}.nc"

    def run_files(self, case: Case) -> RunFiles:
        """Files of a case outside its directory."""
        return RunFiles(case.name, self.directory / "run" / case.name, self.directory / "archive" / case.name)

    def clone(self, name: str) -> Case:
        """The case of a run; it is made, or made again where the base case has been made anew.

        Raises:
            InputError: CIME refuses it, or the case of an earlier base is in use.
        """
        case, stamp = Case(self.directory / name), read_json(self.made)["stamp"]
        note = case.directory / MADE
        if note.is_file() and read_json(note)["stamp"] == stamp:
            return case
        if case.directory.is_dir():
            with alone(case):
                self._remove(case)
        words: list[str | Path] = ["--case", case.directory, "--clone", self.base.directory, "--keepexe"]
        words += ["--cime-output-root", self.directory]  # that of another user cannot be written
        _refuse(command([self.settings.scripts / "create_clone", *words], self.directory), "create_clone")
        case.change({"DOUT_S": False, **self.settings.xmlchange, **self._places(case)})
        write_json(note, {"stamp": stamp, "clone_of": str(self.base.directory)})
        return case

    def make_base(self, domain: Domain) -> None:
        """Makes the base case with its namelists, and notes what it reads.

        Raises:
            InputError: CIME refuses something, an input file is missing, the case has other files than the
                section `domains` names, or a run uses the executable that would be made anew.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        base = self.base
        if self.is_given:
            _require_case(base, self.domain)
            self._refuse_idle_keys()
        else:
            for clone in clones(self.directory):
                with alone(clone):
                    LOGGER.debug("%s: nobody uses it", clone.directory)
            self._remove(base)
            self._remove_other_build()
            self._create(base)
            self._configure(base, domain)
            base.do("./preview_namelists")
            require_inputs(base)
        files = files_of_case(base)
        require_same_files(domain, files, base)
        require_same_forcing(domain.forcing, base)
        for key, path in files.items():
            _link(path, self.link(key))
        stamp: dict[str, Any] = {"settings": self.settings.model_dump(mode="json", include=set(CASE_KEYS))}
        stamp |= {"files": {key: str(path) for key, path in files.items()}}
        stamp |= {"inputs": {path.name: fingerprint(path) for path in self.inputs}}
        if (forcing := domain.forcing) is not None:
            stamp |= {"forcing": [forcing.first_year, forcing.years, forcing.align_year]}
        write_json(self.made, {"stamp": settings_hash(stamp), "case": str(base.directory), **stamp})

    def _remove(self, case: Case) -> None:
        """Removes a case of this run, and what it has written."""
        files = self.run_files(case)
        for place in (case.directory, files.run, files.archive):
            shutil.rmtree(place, ignore_errors=True)

    def _refuse_idle_keys(self) -> None:
        """Keys that a case which exists does not take would do nothing."""
        idle = [key for key in ("datm_mode", "streams") if getattr(self.settings, key)]
        idle += [f"namelists.{name}" for name in self.settings.namelists if name not in _TAKEN_BY_CLONES]
        if idle:
            what, expected = "does nothing in a case that exists", f"what {self.base.directory} has"
            remedy = "change that case, or give the key to other domains alone (cime.by_domain)"
            raise InputError(f"cime.{idle[0]}", what, expected=expected, remedy=remedy)

    def _remove_other_build(self) -> None:
        """Objects of another source, compiler or compset would go into the executable."""
        build = self.directory / "bld"
        note = build / "built_with.json"
        built_with = settings_hash(self.settings.model_dump(mode="json", include=set(BUILD_KEYS)))
        if notes(note).get("settings") != built_with:
            shutil.rmtree(build, ignore_errors=True)
        write_json(note, {"settings": built_with})

    def _create(self, case: Case) -> None:
        settings = self.settings
        options = {
            "--case": case.directory,
            "--compset": settings.compset,
            "--res": settings.resolution,
            "--driver": settings.driver,
            "--machine": settings.machine,
            "--compiler": settings.compiler,
            "--mpilib": settings.mpilib,
            "--extra-machines-dir": settings.extra_machines_dir,
            "--project": settings.project,
            "--queue": settings.queue,
            "--walltime": settings.walltime,
            "--handle-preexisting-dirs": "u",
        }
        given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        done = command([settings.scripts / "create_newcase", *given], self.directory)
        _refuse(done, "create_newcase", "check cime.machine, compiler, compset and resolution")

    def _places(self, case: Case) -> dict[str, Value]:
        files = self.run_files(case)
        return {"RUNDIR": str(files.run), "DOUT_S_ROOT": str(files.archive)}

    def _configure(self, case: Case, domain: Domain) -> None:
        """XML and namelist lines that all runs of the domain share."""
        settings, forcing = self.settings, domain.forcing
        values: dict[str, Value] = {"DOUT_S": False, **settings.xmlchange, **self._places(case)}
        values |= {"EXEROOT": str(self.directory / "bld"), "CALENDAR": "NO_LEAP", **layout(settings)}
        values["ELM_FORCE_COLDSTART"] = "on"  # the base case needs no restart that its grid has by default
        if settings.datm_mode is not None:
            values["DATM_MODE"] = settings.datm_mode
        if forcing is not None:
            last = forcing.first_year + forcing.years - 1
            values |= {
                "DATM_CLMNCEP_YR_START": forcing.first_year,
                "DATM_CLMNCEP_YR_END": last,
                "DATM_CLMNCEP_YR_ALIGN": forcing.align_year,
            }
        if settings.resolution == USER_GRID:
            values |= _user_grid(domain)
        case.change(values)
        for component, lines in settings.namelists.items():
            case.write_user_lines(component, lines)
        typed = []
        for key in RUN_FILES[1:]:
            if (path := _given(domain, key)) is not None:
                require_short(path)
                typed.append(setting(LND_IN[key], str(path)))
        case.write_user_lines("elm", [*settings.namelists.get("elm", []), *typed])
        for stream in settings.streams:
            shutil.copy(require_file(stream), case.directory)
        case.set_up()


def layout(settings: CimeSettings) -> dict[str, Value]:
    """XML of the layout: all components on the same tasks, or nothing where a case keeps its own."""
    if settings.layout is None:
        return {}
    values: dict[str, Value] = {"NTASKS": settings.layout.tasks, "NTHRDS": 1, "ROOTPE": 0}
    if settings.tasks_per_node is not None:
        values["MAX_MPITASKS_PER_NODE"] = settings.tasks_per_node
    return values


def _given(domain: Domain, key: str) -> Path | None:
    """A file of the domain that the configuration names, absolute."""
    path: Path | None = None if key in domain.made else getattr(domain, key)
    return None if path is None else path.absolute()


def _user_grid(domain: Domain) -> dict[str, Value]:
    """The cells of the domain file as the grid of land and atmosphere."""
    path = _given(domain, "domain")
    if path is None or _given(domain, "surface") is None:
        what, expected = "cime.resolution is ELM_USRDAT", "domain and surface files, which say which cells"
        raise InputError(
            f"domains.{domain.name}", what, expected=expected, remedy="give both, or another grid"
        )
    nj, ni = read_domain(path).shape
    values: dict[str, Value] = {"ELM_USRDAT_NAME": domain.name}
    for component in ("LND", "ATM"):
        values |= {f"{component}_DOMAIN_PATH": str(path.parent), f"{component}_DOMAIN_FILE": path.name}
        values |= {f"{component}_NX": ni, f"{component}_NY": nj}
    return values


def require_short(path: Path) -> None:
    """Refuses a path that does not fit into a namelist.

    Raises:
        InputError: it is too long.
    """
    if len(str(path)) > _LONGEST_PATH:
        what = f"has {len(str(path))} characters"
        expected = f"at most {_LONGEST_PATH}, as ELM's namelists take no more"
        raise InputError(path, what, expected=expected, remedy="use a shorter path, by a link for example")


def require_inputs(case: Case) -> None:
    """Refuses a case whose input files are not all there.

    Raises:
        InputError: the first missing files, as CIME lists them.
    """
    done = case.call("./check_input_data")
    if done.status:
        missing = [" ".join(line.split()) for line in done.printed.splitlines() if "missing file" in line]
        remedy = "get them (./check_input_data --download in the case), or set DIN_LOC_ROOT in cime.xmlchange"
        raise InputError(case.directory, "; ".join(missing[:3]) or done.error, remedy=remedy)


def files_of_case(case: Case) -> dict[str, Path]:
    """Files of the domain that a case reads, by the names of the section `domains`.

    Raises:
        InputError: its `lnd_in` does not exist or does not name one.
    """
    lnd_in = case.namelist("lnd_in")
    for key, name in LND_IN.items():
        if not any(lnd_in.get(name, [])):
            path = case.directory / "CaseDocs" / "lnd_in"
            raise InputError(path, f"has no {name}", expected=f"the {key} file of a run with C, N and P")
    return {key: Path(lnd_in[name][0]) for key, name in LND_IN.items()}


def require_same_files(domain: Domain, files: Mapping[str, Path], case: Case) -> None:
    """Refuses a case that reads other files than the section `domains` names.

    Raises:
        InputError: the first file that differs.
    """
    for key, path in files.items():
        typed = _given(domain, key)
        if typed is not None and typed.resolve() != path.resolve():
            what = f"{LND_IN[key]} of the case {case.directory} is {path}"
            remedy = f"leave out domains.{domain.name}.{key}, or change the case"
            raise InputError(f"domains.{domain.name}.{key}", what, expected=str(typed), remedy=remedy)


def require_same_forcing(forcing: Forcing | None, case: Case) -> None:
    """Refuses a case that reads forcing of other years, or other files, than the section `domains` names.

    Raises:
        InputError: what differs.
    """
    if forcing is None or forcing.kind != "datm":
        return
    streams = read_streams(case.directory)
    of_case = (streams.first_year, streams.years, streams.align_year)
    typed = (forcing.first_year, forcing.years, forcing.align_year)
    if of_case != typed:
        names = "first_year, years, align_year"
        what, expected = f"{names} of the streams are {of_case}", f"{typed}, as in domains.NAME.forcing"
        raise InputError(streams.file, what, expected=expected, remedy="make the two agree")
    known = {path.resolve() for path in forcing.files}
    if other := [path for path in streams.files if path.resolve() not in known]:
        expected = "files that domains.NAME.forcing.files names, as the surrogate learns from those"
        what = f"the streams read {len(other)} other files, {other[0]} first"
        raise InputError(streams.file, what, expected=expected, remedy="make the two agree")


def base_lines(cases: Cases, component: Component) -> list[str]:
    """Lines of a `user_nl` file of the base case, without those that a segment sets itself."""
    lines, names = cases.base.user_lines(component), SET_HERE.get(component, {})
    if cases.is_given:
        lines += cases.settings.namelists.get(component, [])
    files = set(LND_IN.values())
    replaced = [name for name in names_in(lines) if name in names and name not in files]
    if replaced:
        LOGGER.info("user_nl_%s of %s: %s replaced", component, cases.base.directory, ", ".join(replaced))
    return without(lines, replaced)


def _require_case(case: Case, domain: str) -> None:
    if not (case.directory / "env_case.xml").is_file():
        remedy = "name a case directory, or leave it out to have one made"
        raise InputError(
            case.directory, "is no case of CIME", expected=f"that of cime.cases.{domain}", remedy=remedy
        )


def _refuse(done: Done, what: str, remedy: str = "") -> None:
    if done.status:
        raise InputError(None, f"{what}: {done.error}", remedy=remedy)


def _link(path: Path, link: Path) -> None:
    """A link to a file, in place of an earlier one."""
    link.unlink(missing_ok=True)
    link.symlink_to(path.resolve())


def notes(path: Path) -> dict[str, Any]:
    """What a note says; empty where there is none or it was not finished."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def clones(directory: Path) -> Iterator[Case]:
    """The cases of runs in a directory of cases."""
    yield from (Case(note.parent) for note in sorted(directory.glob(f"*/{MADE}")))
