"""Atmospheric forcing of every kind that ELM runs with, reduced to monthly means on the cells of a domain.

`datm`: DATM's monthly files; `bypass`: the coupler-bypass files of whole records; `history`: what the model
itself wrote of its forcing. A cell takes the nearest forcing point that has data. The means are written in
pieces, of any variables and years, which are read together as one cycle.
"""

from phase_lib.forcing.datm import PLACES
from phase_lib.forcing.pieces import MonthlyForcing, MonthlyPieces, open_pieces, read_monthly_forcing
from phase_lib.forcing.points import Mapping, Record, map_cells
from phase_lib.forcing.reduce import KINDS, open_record, reduce_forcing
from phase_lib.forcing.variables import FORCING, INPUTS, LONG_NAMES, PLAUSIBLE, RECIPES, Recipe, find_recipe

__all__ = [
    "FORCING",
    "INPUTS",
    "KINDS",
    "LONG_NAMES",
    "PLACES",
    "PLAUSIBLE",
    "RECIPES",
    "Mapping",
    "MonthlyForcing",
    "MonthlyPieces",
    "Recipe",
    "Record",
    "find_recipe",
    "map_cells",
    "open_pieces",
    "open_record",
    "read_monthly_forcing",
    "reduce_forcing",
]
