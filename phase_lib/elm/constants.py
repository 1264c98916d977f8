"""Numbers that ELM's files and clock are built on."""

from __future__ import annotations

FILL_DOUBLE = 1.0e36
FILL_INT = -9999
#: Values at or above this are fill, with or without an attribute of the file.
FILL_THRESHOLD = 1.0e35

SECONDS_PER_DAY = 86400.0
DAYS_PER_YEAR = 365
SECONDS_PER_YEAR = DAYS_PER_YEAR * SECONDS_PER_DAY
DAYS_PER_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

TFRZ = 273.15

#: PFTs 0 (bare) to 16 of the standard set; index = `pfts1d_itypveg`.
PFT_NAMES = (
    "not_vegetated",
    "needleleaf_evergreen_temperate_tree",
    "needleleaf_evergreen_boreal_tree",
    "needleleaf_deciduous_boreal_tree",
    "broadleaf_evergreen_tropical_tree",
    "broadleaf_evergreen_temperate_tree",
    "broadleaf_deciduous_tropical_tree",
    "broadleaf_deciduous_temperate_tree",
    "broadleaf_deciduous_boreal_tree",
    "broadleaf_evergreen_shrub",
    "broadleaf_deciduous_temperate_shrub",
    "broadleaf_deciduous_boreal_shrub",
    "c3_arctic_grass",
    "c3_non-arctic_grass",
    "c4_grass",
    "c3_crop",
    "c3_irrigated",
)
NATPFT = len(PFT_NAMES)
C4_GRASS = PFT_NAMES.index("c4_grass")
#: Trees and shrubs; the others have no wood.
WOODY_PFTS = tuple(pft for pft, name in enumerate(PFT_NAMES) if name.endswith(("_tree", "_shrub")))
EVERGREEN_PFTS = tuple(pft for pft, name in enumerate(PFT_NAMES) if "_evergreen_" in name)

LANDUNIT_SOIL = 1
LANDUNIT_CROP = 2
#: Landunit types by `land1d_ityplun`.
LANDUNIT_NAMES = {
    1: "natural vegetation",
    2: "crop",
    3: "land ice",
    4: "land ice by elevation",
    5: "deep lake",
    6: "wetland",
    7: "urban (tall buildings)",
    8: "urban (high density)",
    9: "urban (medium density)",
}
COLUMN_SOIL = 1

#: ELM moves pools smaller than this to its truncation sinks, g m-2 or g m-3: a smaller value is round-off.
TRUNCATION = 1.0e-8

SPINUP_NORMAL = 0
SPINUP_AD = 1
CASCADE_CTC, CASCADE_CENTURY = 10, 11

#: ELM aborts where the patch weights of a column miss 1 by more, or miss PCT_NAT_PFT by more.
WEIGHT_SUM_TOLERANCE = 1.0e-12
PFT_WEIGHT_TOLERANCE = 5.0e-3

EARTH_RADIUS_KM = 6371.22
#: Land of the Earth with Antarctica.
EARTH_LAND_KM2 = 1.49e8
GRAMS_PER_PETAGRAM = 1.0e15

#: Units of coordinates.
LATITUDE_UNITS = ("degrees_north", "degree_north", "degrees_N", "degree_N", "degrees", "degree")
LONGITUDE_UNITS = ("degrees_east", "degree_east", "degrees_E", "degree_E", "degrees", "degree")
