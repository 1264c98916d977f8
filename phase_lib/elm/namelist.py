"""`lnd_in`, the namelist that ELM was started with: what a run did that its restart does not say.

Where `lnd_in` has no line for a setting ELM takes the default of its source, which is not what protocols use:
`spinup_mortality_factor` 1 and `nyears_ad_carbon_only` 0. The build script knows 10 and 20 as defaults, but
writes neither into `lnd_in` unless `user_nl_elm` has a line for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file
from phase_lib.elm.constants import SPINUP_NORMAL

#: Groups that tell the land model's namelist from others; the older one has ELM's former name.
_GROUPS = ("elm_inparm", "clm_inparm")
#: Where a case directory, or the directory of a run, keeps it.
_IN_A_CASE = ("CaseDocs/lnd_in", "lnd_in", "run/lnd_in")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|![^\n]*|[&$]\w+|[=,/]|[^\s=,/&$!'"]+""")
#: No namelist is as long; a large file given by mistake is not read whole.
_MOST_BYTES = 1 << 20
_REMEDY = "give the lnd_in of the AD run, or its case directory (CaseDocs/lnd_in)"


@dataclass(frozen=True)
class AdSettings:
    """What `lnd_in` says of an AD run, with ELM's defaults where it has no line.

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
        raise InputError(
            path,
            f"has no group {_GROUPS[0]}: it is not the land model's namelist",
            expected="lnd_in, as ELM reads it",
            remedy=_REMEDY,
        )
    settings = AdSettings(
        path,
        int(_number(path, group, "spinup_state", SPINUP_NORMAL, whole=True)),
        _number(path, group, "spinup_mortality_factor", 1.0),
        int(_number(path, group, "nyears_ad_carbon_only", 0, whole=True)),
        group.get("suplphos", "ALL").strip().upper(),
    )
    if settings.mortality_factor < 1.0:
        raise InputError(
            path,
            f"spinup_mortality_factor is {settings.mortality_factor:g}",
            expected="1 or more",
            remedy=_REMEDY,
        )
    return settings


def _find(place: Path) -> Path:
    if not place.is_dir():
        return require_file(place)
    for name in _IN_A_CASE:
        if (place / name).is_file():
            return place / name
    raise InputError(
        place, "holds no lnd_in", expected=f"one of {', '.join(_IN_A_CASE)} in it", remedy=_REMEDY
    )


def read_namelist(path: Path) -> dict[str, dict[str, str]]:
    """Reads a Fortran namelist: group -> name -> first value, as text without quotes; names in lower case.

    Comments, quotes and line breaks are Fortran's. Where a name comes twice, the last line counts.

    Raises:
        InputError: it is no text, or a value stands outside a group.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    if b"\0" in content:
        raise InputError(path, "is not text", expected="a Fortran namelist", remedy=_REMEDY)
    text = content.decode("utf-8", "replace")
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] | None = None
    tokens = list(_tokens(text))
    for here, following, after in zip(tokens, [*tokens[1:], ""], [*tokens[2:], "", ""], strict=False):
        if here[0] in "&$":
            name = here[1:].lower()
            group = None if name == "end" else groups.setdefault(name, {})
        elif here == "/":
            group = None
        elif following == "=":
            if group is None:
                raise InputError(
                    path,
                    f"{here} stands outside a group",
                    expected="a namelist, &GROUP ... /",
                    remedy=_REMEDY,
                )
            group[re.sub(r"\(1\)$", "", here.lower())] = "" if after in ("", ",", "/") else _value(after)
    return groups


def _tokens(text: str) -> Iterator[str]:
    return (token for token in _TOKEN.findall(text) if not token.startswith("!"))


def _value(token: str) -> str:
    quote = token[0]
    if quote in "'\"":
        return token[1:-1].replace(2 * quote, quote)
    return re.sub(r"^\d+\*", "", token)


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
        raise InputError(
            path,
            f"{name} is {text}",
            expected="a whole number" if whole else "a number",
            remedy=_REMEDY,
        )
    return value
