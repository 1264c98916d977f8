"""The world that the embedded land model runs in: synthetic climate on real geography.

Real are the land cells and their Koeppen-Geiger classes (from packages with their data, without a download).
Everything else follows from rules and seeded noise. Temperatures, rain, radiation, soils, phosphorus and PFT
cover are plausible for each place and consistent with each other, so that biomes lie where they do on Earth,
but no value is an observation.

The forcing grid is coarse and offset: it never matches the grid of the model. A cell has the climate of its
nearest forcing point. The same seed gives the same world, whatever the number of workers. Noise is defined on
the sphere, not on a grid: a finer grid, or a box, shows the same world in more detail. Left out: glaciers,
lakes, wetlands and cities (cells have only natural vegetation or bare ground), Antarctica, trends, leap days.
"""
