"""`lnd_in`, the namelist that ELM was started with: settings of a run that its restart does not hold.

Where `lnd_in` has no line for a setting, ELM uses the default of its source, which protocols do not use:
`spinup_mortality_factor` 1 and `nyears_ad_carbon_only` 0. The build script knows 10 and 20 as defaults, but
writes neither into `lnd_in` unless `user_nl_elm` has a line for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file
from phase_lib.elm.constants import SPINUP_NORMAL

#: Groups that only the land model's namelist has; the older one has ELM's former name.
_GROUPS = ("elm_inparm", "clm_inparm")
#: Where a case directory, or the directory of a run, keeps it.
_IN_A_CASE = ("CaseDocs/lnd_in", "lnd_in", "run/lnd_in")
_TOKEN = re.compile(r"""(?:\d+\*)?(?:'(?:[^']|'')*'|"(?:[^"]|"")*")|![^\n]*|[&$]\w+|[=,/]|[^\s=,/&$!'"]+""")
_REPEATED = re.compile(r"(?:(\d+)\*)?(.*)", re.DOTALL)
#: No namelist is as long; a large file given by mistake is not read whole.
_MOST_BYTES = 1 << 20
_fault = partial(InputError, remedy="give the lnd_in of the AD run, or its case directory (CaseDocs/lnd_in)")


@dataclass(frozen=True)
class AdSettings:
    """Settings of an AD run in `lnd_in`, with ELM's defaults where it has no line.

    Attributes:
        path: the file.
        spinup_state: 0 normal, 1 AD.
        mortality_factor: `spinup_mortality_factor`.
        carbon_only_years: `nyears_ad_carbon_only`: up to this year of the model's clock N and P are supplied.
        suplphos: `ALL` where P is supplied, or `NONE`.
    """

    path: Path
    spinup_state: int
    mortality_factor: float
    carbon_only_years: int
    suplphos: str

    def agreeing_with(self, factor: float | None) -> float:
        """`spinup_mortality_factor`, where a person gives it too.

        Raises:
            InputError: the two differ.
        """
        if factor is not None and factor != self.mortality_factor:
            raise InputError(
                self.path,
                f"spinup_mortality_factor is {self.mortality_factor:g}, but {factor:g} is given beside it",
                expected="one factor",
                remedy="leave out the other, or give the lnd_in of that AD run",
            )
        return self.mortality_factor


def read_ad_settings(place: str | Path) -> AdSettings:
    """Reads the settings of a run.

    Args:
        place: `lnd_in`, or the directory of a case or a run that holds one.

    Raises:
        InputError: there is none, it is another namelist, or a value is not possible.
    """
    path = _find(Path(place))
    entries = read_namelist(path)
    group = next((entries[name] for name in _GROUPS if name in entries), None)
    if group is None:
        what = f"has no group {_GROUPS[0]}: it is not the land model's namelist"
        raise _fault(path, what, expected="lnd_in, as ELM reads it")
    settings = AdSettings(
        path,
        int(_number(path, group, "spinup_state", SPINUP_NORMAL, whole=True)),
        _number(path, group, "spinup_mortality_factor", 1.0),
        int(_number(path, group, "nyears_ad_carbon_only", 0, whole=True)),
        group.get("suplphos", "ALL").strip().upper(),
    )
    if settings.mortality_factor < 1.0:
        what = f"spinup_mortality_factor is {settings.mortality_factor:g}"
        raise _fault(path, what, expected="1 or more")
    return settings


def _find(place: Path) -> Path:
    if not place.is_dir():
        return require_file(place)
    for name in _IN_A_CASE:
        if (place / name).is_file():
            return place / name
    raise _fault(place, "holds no lnd_in", expected=f"one of {', '.join(_IN_A_CASE)} in it")


def read_namelist(path: Path) -> dict[str, dict[str, str]]:
    """Reads a Fortran namelist: group -> name -> first value; what `read_lists` says holds here too."""
    return {
        group: {name: values[0] if values else "" for name, values in entries.items()}
        for group, entries in read_lists(path).items()
    }


def read_lists(path: Path) -> dict[str, dict[str, list[str]]]:
    """Reads a Fortran namelist: group -> name -> values, as text without quotes; names in lower case.

    Comments, quotes, line breaks and repeated values (`3*1`) are Fortran's. Where a name comes twice, the
    last line counts.

    Raises:
        InputError: it is no text, or a value stands outside a group.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    if b"\0" in content:
        raise _fault(path, "is not text", expected="a Fortran namelist")
    groups: dict[str, dict[str, list[str]]] = {}
    group: dict[str, list[str]] | None = None
    values: list[str] = []
    text = content.decode("utf-8", "replace")
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("!")]
    for before, here, following in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        if here[0] in "&$":
            name = here[1:].lower()
            group, values = None if name == "end" else groups.setdefault(name, {}), []
        elif here == "/":
            group, values = None, []
        elif following == "=":
            if group is None:
                raise _fault(path, f"{here} stands outside a group", expected="a namelist, &GROUP ... /")
            values = group[re.sub(r"\(1\)$", "", here.lower())] = []
        elif here == "," and before in ("=", ","):
            values.append("")
        elif here not in ("=", ","):
            values += _values(here)
    return groups


def _values(token: str) -> list[str]:
    match = _REPEATED.match(token)
    assert match is not None
    count, value = match.groups()
    quote = value[:1]
    if quote in ("'", '"'):
        value = value[1:-1].replace(2 * quote, quote)
    return [value] * int(count or 1)


def _number(path: Path, group: dict[str, str], name: str, default: float, *, whole: bool = False) -> float:
    """A number of the group; Fortran writes exponents with d as well as e."""
    text = group.get(name, "")
    if not text:
        return default
    try:
        value = float(re.sub("[dD]", "e", text))
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf") or (whole and value != int(value)):
        raise _fault(path, f"{name} is {text}", expected="a whole number" if whole else "a number")
    return value
