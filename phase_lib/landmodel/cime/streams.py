"""The atmospheric forcing of a case, as DATM reads it: `datm_in` and the files of its streams."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from phase_lib.base.errors import InputError
from phase_lib.config.domains import ForcingFiles
from phase_lib.elm.namelist import read_namelist

#: Names that DATM gives to the variables of the atmosphere; other streams hold aerosols, CO2, topography.
_ATMOSPHERE = {
    "precn", "prec", "precc", "precl", "swdn", "swdndr", "swdndf", "lwdn", "tbot", "shum", "rh", "tdew",
    "pbot", "wind",
}  # fmt: skip
_STREAM = re.compile(r"(\S+)\s+(-?\d+)\s+(\d+)\s+(\d+)")


@dataclass(frozen=True)
class Streams:
    """The atmospheric streams of a case.

    Attributes:
        file: `datm_in`.
        files: all data files, in the order of the streams.
        align_year: model year that sees `first_year`.
        first_year, last_year: of the cycle.
    """

    file: Path
    files: tuple[Path, ...]
    align_year: int
    first_year: int
    last_year: int

    @property
    def years(self) -> int:
        """Length of the cycle."""
        return self.last_year - self.first_year + 1

    def section(self, product: str) -> ForcingFiles:
        """As the section `domains.NAME.forcing`."""
        files = [str(path) for path in self.files]
        return ForcingFiles(
            kind="datm",
            files=files,
            product=product,
            first_year=self.first_year,
            years=self.years,
            align_year=self.align_year,
        )


def read_streams(case: Path) -> Streams:
    """Reads the atmospheric streams of a case directory.

    Raises:
        InputError: there are none, they cannot be read, or they have other years than each other.
    """
    documents = case / "CaseDocs"
    file = documents / "datm_in"
    if not file.is_file():
        raise InputError(file, "does not exist", remedy="run ./preview_namelists in the case")
    entries = _STREAM.findall(_streams_text(file))
    streams: list[tuple[tuple[int, int, int], list[Path]]] = []
    for name, align, first, last in entries:
        variables, files = _read_stream(documents / name)
        if variables & _ATMOSPHERE:
            streams.append(((int(align), int(first), int(last)), files))
    if not streams:
        raise InputError(
            file, "names no stream of the atmosphere", expected="precipitation, radiation, temperature, ...",
            remedy="choose a DATM mode of the land model, or give domains.NAME.forcing",
        )  # fmt: skip
    years = {of_stream for of_stream, _ in streams}
    if len(years) > 1:
        listed = ", ".join(
            f"{first} to {last} from model year {align}" for align, first, last in sorted(years)
        )
        raise InputError(file, f"its streams have different years: {listed}", expected="one forcing cycle")
    align, first, last = years.pop()
    data = tuple(dict.fromkeys(path for _, of_stream in streams for path in of_stream))
    return Streams(file, data, align, first, last)


def _streams_text(file: Path) -> str:
    read_namelist(file)  # refuses what is no namelist
    text = file.read_text(encoding="utf-8", errors="replace")
    match = re.search(r"(?ims)^\s*streams\s*=(.*?)(?=^\s*\w+\s*=|^\s*/)", text)
    return match.group(1).replace('"', " ").replace("'", " ").replace(",", " ") if match else ""


def _read_stream(path: Path) -> tuple[set[str], list[Path]]:
    """DATM's names of the variables of a stream, and its data files."""
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8").strip())
    except (OSError, ElementTree.ParseError) as error:
        what = f"cannot be read ({error})"
        raise InputError(
            path, what, expected="a stream file of DATM", remedy="run ./preview_namelists"
        ) from error
    names = (root.findtext("fieldInfo/variableNames") or "").split()
    place = Path((root.findtext("fieldInfo/filePath") or "").strip())
    files = [place / name for name in (root.findtext("fieldInfo/fileNames") or "").split()]
    return set(names[1::2]), files
