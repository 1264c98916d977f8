"""History fields of the carbon budget of the soil pools, under ELM's names.

ELM writes them if `hist_fincl` names them; all but the contents are inactive by default. In a cell with
lakes, cities or ice, contents and mixing are means over all columns, of which these count as 0; respiration
and transfers are means over the columns that have soil (seen in 20 years of ELM: so the budgets close).
"""

from __future__ import annotations

from phase_lib.elm.variables import SOIL_POOLS, TRANSITIONS

#: ELM cuts the names of these fields.
_LONGEST_NAME = 24
#: Pools that mixing moves, and that respire: coarse woody debris stays where it falls.
MIXED = tuple(pool.name for pool in SOIL_POOLS if pool.name != "cwd")


def content_field(pool: str) -> str:
    """History name of the carbon of a pool, gC/m^3."""
    return f"{pool.upper()}C_vr"


def respiration_field(pool: str) -> str:
    """History name of the respiration of a pool, gC/m^3/s."""
    return f"{pool.upper()}_HR_vr"


def transfer_field(donor: str, receiver: str) -> str:
    """History name of a transfer between pools, gC/m^3/s."""
    return f"{donor.upper()}C_TO_{receiver.upper()}C_vr"


def mixing_field(pool: str) -> str:
    """History name of the gain of a pool by mixing, gC/m^3/s."""
    return f"{pool.upper()}C_TNDNCY_VERT_TRANSPORT"[:_LONGEST_NAME]


CONTENTS = tuple(content_field(pool.name) for pool in SOIL_POOLS)
SOIL_FLUXES = (
    *map(respiration_field, MIXED),
    *(transfer_field(*link) for link in TRANSITIONS),
    *map(mixing_field, MIXED),
)
#: Those that are means over all columns of a cell.
OVER_ALL_COLUMNS = frozenset([*CONTENTS, *map(mixing_field, MIXED)])
#: All of them -> accepted units.
BUDGET_FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(CONTENTS, ("gC/m^3",)),
    **dict.fromkeys(SOIL_FLUXES, ("gC/m^3/s",)),
}
#: Inputs of nitrogen -> accepted units, means over the columns that have soil; ELM writes them by default.
NITROGEN_INPUTS: dict[str, tuple[str, ...]] = dict.fromkeys(("NDEP_TO_SMINN", "NFIX_TO_SMINN"), ("gN/m^2/s",))
