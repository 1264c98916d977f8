"""The world that the embedded land model runs in: synthetic climate on real geography.

What is real: which cells are land, and which Koeppen-Geiger class they have (from packages that carry their
data; nothing is downloaded). What is made up by rule and seeded noise: everything else. Temperatures, rain,
radiation, soils, phosphorus and PFT cover are plausible for each place and consistent with each other, so
that the biomes lie where they do on Earth, but no value is an observation, and none should be read as one.

- `geography`: land fraction and class shares of any regular grid, sampled at 1/12 degree.
- `terrain`: elevation (Gaussian mountain belts) and continentality (distance to the nearest and to the
  upwind coast).
- `climate`: the climatology at the points of the forcing grid; class thresholds hold there. Bioclimatic
  variables follow from it.
- `weather`: six-hourly weather around that climatology, in DATM's monthly files. The forcing grid is coarse
  and offset, so that it never matches the model's. A cell's climate is that of its nearest forcing point.
- `vegetation`: PFT cover from class, bioclimate of the forcing point, region and noise.
- `soil`: soil order, texture, organic matter and phosphorus maps.
- `parameters`: PFT, decomposition and soil-order parameters; values and units are the tables in `data/`.
- `surface`, `build`: the files, in ELM's formats.

The same seed gives the same world, whatever the number of workers; noise lives on the sphere and not on a
grid, so a finer grid or a box is a closer look at the same world. Left out: glaciers, lakes, wetlands and
cities (all cells are wholly natural vegetation or bare ground), Antarctica, trends and leap days.
"""

from phase_lib.landmodel.embedded.world.build import (
    Land,
    count_cells,
    make_land,
    make_world,
    write_forcing,
)

__all__ = ["Land", "count_cells", "make_land", "make_world", "write_forcing"]
