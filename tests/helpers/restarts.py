"""Small restarts with every kind of landunit, and the surface and parameter files that go with them.

Only netCDF4 and numpy: nothing here comes from the code under test. Numbers of parameters and factors are
those of the model's documentation.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import netCDF4
import numpy as np

from tests.helpers.units import surface_units

F = {"cwd": 1.36917797, "soil3": 1.95557698, "soil4": 27.39589039}
MORTALITY = 10.0
CN = {"soil1": 12.0, "soil2": 12.0, "soil3": 10.0, "soil4": 10.0}
CP = {"soil1": 360.0, "soil2": 360.0, "soil3": 500.0, "soil4": 500.0}
DZ = np.array(
    [
        0.0175128,
        0.0275790,
        0.0454700,
        0.0749674,
        0.1236004,
        0.2037826,
        0.3359806,
        0.5539384,
        0.9132900,
        1.5057607,
    ]
)
SOIL_POOLS = ("litr1", "litr2", "litr3", "cwd", "soil1", "soil2", "soil3", "soil4")
ORGANS = ("leaf", "froot", "livestem", "deadstem", "livecroot", "deadcroot")
STAGES = ("", "_storage", "_xfer")
FILL = 1.0e36
EVERGREEN = (1, 2, 4, 5, 9)
LEAFCN = np.array([1, 35, 40, 25, 30, 30, 25, 25, 25, 30, 25, 25, 25, 25, 25, 25, 25], dtype=float)
LEAFCP = np.array(
    [1, 525, 400, 250, 600, 450, 500, 375, 250, 450, 375, 250, 250, 375, 375, 275, 275], dtype=float
)
WOODY = np.array([0, *[1] * 8, 2, 2, 2, 0, 0, 0, 0, 0], dtype=float)
SLATOP = np.array([0, 0.01, 0.008, 0.024, 0.012, 0.012, 0.03, 0.03, 0.03, 0.012, *[0.03] * 7], dtype=float)
DSLADLAI = np.array([0, 6e-4, 6e-4, 1.5e-3, 8e-4, 8e-4, 2e-3, 2e-3, 2e-3, *[0.0] * 8])
PFT_PARAMETERS = {
    "leafcn": LEAFCN,
    "leafcp": LEAFCP,
    "frootcn": np.where(np.arange(17) > 0, 42.0, 1.0),
    "frootcp": np.where(np.arange(17) > 0, 1000.0, 1.0),
    "livewdcn": np.where(WOODY > 0, 50.0, 0.0),
    "livewdcp": np.full(17, 3000.0),
    "deadwdcn": np.where(WOODY > 0, 500.0, 0.0),
    "deadwdcp": np.full(17, 3000.0),
    "slatop": SLATOP,
    "dsladlai": DSLADLAI,
    "evergreen": np.isin(np.arange(17), EVERGREEN).astype(float),
    "woody": WOODY,
    "flivewd": np.where(WOODY > 0, 0.1, 0.0),
}
SCALARS = {
    "k_l1": 1.203972804,
    "k_l2": 0.07257069283,
    "k_l3": 0.01409892438,
    "k_s1": 0.07257069283,
    "k_s2": 0.01409892438,
    "k_s3": 0.001400980916,
    "k_s4": 0.0001000050003,
    "k_frag": 0.001000500334,
    "rf_s3s4": 0.55,
    "cn_s1": 12.0,
    "cn_s2": 12.0,
    "cn_s3": 10.0,
    "cn_s4": 10.0,
    "np_s1_new": 30.0,
    "np_s2_new": 30.0,
    "np_s3_new": 50.0,
    "np_s4_new": 50.0,
    "lwtop_ann": 0.7,
    "r_mort": 0.02,
}
SMAX, KS = 100.0, 6.0


@dataclass(frozen=True)
class World:
    """Paths of one synthetic case, and where things lie in its restart."""

    restart: Path
    surface: Path
    params: Path
    soil_params: Path
    lat: np.ndarray
    lon: np.ndarray
    column: np.ndarray
    patch: np.ndarray
    cover: np.ndarray


def ratio_of(organ: str, element: str) -> np.ndarray:
    """C:N or C:P of an organ by PFT (17)."""
    stem = {"leaf": "leaf", "froot": "froot"}.get(organ, "livewd" if "live" in organ else "deadwd")
    return PFT_PARAMETERS[f"{stem}c{element}"]


def write_parameters(path: Path) -> Path:
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as d:
        d.createDimension("pft", 25)
        d.createDimension("allpfts", 1)
        for name, values in PFT_PARAMETERS.items():
            d.createVariable(name, "f8", ("pft",))[:] = np.concatenate([values, np.ones(8)])
        for name, value in SCALARS.items():
            d.createVariable(name, "f8", ("allpfts",))[:] = value
    return path


def write_soil_parameters(path: Path, smax: float = SMAX, ks: float = KS) -> Path:
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as d:
        d.createDimension("soilorder", 16)
        d.createVariable("smax", "f8", ("soilorder",))[:] = smax
        d.createVariable("ks_sorption", "f8", ("soilorder",))[:] = ks
    return path


def write_surface(
    path: Path, lat: np.ndarray, lon: np.ndarray, cover: np.ndarray, labile: np.ndarray, area: float = 100.0
) -> Path:
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as d:
        d.createDimension("gridcell", len(lat))
        d.createDimension("natpft", cover.shape[1])
        d.createDimension("nlevsoi", 10)
        fields = {
            "LATIXY": lat,
            "LONGXY": lon % 360.0,
            "AREA": np.full(len(lat), area),
            "LANDFRAC_PFT": np.ones(len(lat)),
            "PCT_NATVEG": np.full(len(lat), 90.0),
            "SOIL_COLOR": np.full(len(lat), 3.0),
            "SOIL_ORDER": np.full(len(lat), 5.0),
            "LABILE_P": labile,
            "SECONDARY_P": np.full(len(lat), 20.0),
            "OCCLUDED_P": np.full(len(lat), 60.0),
            "APATITE_P": np.full(len(lat), 30.0),
        }
        for name, values in fields.items():
            d.createVariable(name, "f8", ("gridcell",))[:] = values
        for name, value in {"PCT_SAND": 40.0, "PCT_CLAY": 20.0, "ORGANIC": 10.0}.items():
            d.createVariable(name, "f8", ("nlevsoi", "gridcell"))[:] = value
        d.createVariable("PCT_NAT_PFT", "f8", ("natpft", "gridcell"))[:] = 100.0 * cover.T
        for name, variable in d.variables.items():
            variable.units = surface_units(name)
    return path


def divide(cover: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Two topounits of a quarter and three quarters of the ground: their shares and their plants (npft).

    One has more needleleaf trees, the other more broadleaf ones; together they make up the cover.
    """
    shift = np.zeros_like(cover)
    shift[1], shift[7] = np.array([0.5, -0.5]) * cover[1] * cover[7] / max(cover[1], cover[7])
    return [(0.25, cover + shift), (0.75, cover - shift / 3.0)]


class Layout(TypedDict, total=False):
    """What a synthetic restart holds, and how.

    Attributes:
        seed: of the values and the order.
        cells: grid cells.
        state: `spinup_state`; pools are in the space it says.
        year: model year.
        crop: a crop landunit in each cell, one of its two columns without weight and holding fill.
        urban: urban landunits of zero weight.
        lake: a lake in every second cell.
        shuffle: columns and patches lie in random order on file.
        scalaravg: value of `scalaravg_col`; by default an unfinished mean in AD, 1 in normal mode.
        wetland: a wetland in every third cell.
        ice: land ice in every second cell but the first.
        east: longitudes of the restart from 0 to 360 instead of -180 to 180.
        topounits: one for each cell; `lake` gives each lake one of its own, `soil` divides the soil of
            each cell into a quarter and three, under plants of their own.
        barren: cells that are all ice, without a column of natural vegetation.
    """

    seed: int
    cells: int
    state: int
    year: int
    crop: bool
    urban: bool
    lake: bool
    shuffle: bool
    scalaravg: float | None
    wetland: bool
    ice: bool
    east: bool
    topounits: Literal["one", "lake", "soil"]
    barren: tuple[int, ...]


def make_world(folder: Path, **layout: Unpack[Layout]) -> World:
    """Writes a restart and what belongs to it; the same layout is composed once and copied from then on."""
    template = _template(**layout)
    shutil.copytree(template.restart.parent, folder, dirs_exist_ok=True)
    copied = {
        field.name: folder / value.name if isinstance(value, Path) else value.copy()
        for field in fields(template)
        for value in (getattr(template, field.name),)
    }
    return World(**copied)


@cache
def _template(**layout: Unpack[Layout]) -> World:
    """A world from which others are copied, for as long as the tests run."""
    directory = tempfile.mkdtemp(prefix="world-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return _write_world(Path(directory), **layout)


def _write_world(
    folder: Path,
    *,
    seed: int = 0,
    cells: int = 3,
    state: int = 1,
    year: int = 21,
    crop: bool = False,
    urban: bool = True,
    lake: bool = True,
    shuffle: bool = True,
    scalaravg: float | None = None,
    wetland: bool = False,
    ice: bool = False,
    east: bool = False,
    topounits: Literal["one", "lake", "soil"] = "one",
    barren: tuple[int, ...] = (),
) -> World:
    """Writes the files of a world; what the arguments mean is in `Layout`."""
    rng = np.random.default_rng(seed)
    lat = np.sort(rng.uniform(-50.0, 65.0, cells))
    lon = rng.uniform(-170.0, 170.0, cells)
    npft = 15 if crop else 17
    cover = rng.dirichlet(np.ones(npft), cells)
    cover[rng.random((cells, npft)) < 0.4] = 0.0
    cover[:, 1] += 0.1  # every cell has an evergreen tree
    cover[:, 7] += 0.1  # and a deciduous one
    cover /= cover.sum(axis=1, keepdims=True)
    cover[:, 1] += 1.0 - cover.sum(axis=1)
    cover[list(barren)] = 0.0

    land: list[tuple[int, int, float, int]] = []  # cell, type, weight, topounit
    # cell, landunit, lun type, type, weight, active
    cols: list[tuple[int, int, int, int, float, int]] = []
    tops: list[int] = []  # cell
    pats: list[tuple[int, int, int, float, int, int]] = []  # cell, column, pft, wtcol, lun type, active

    def add_column(
        cell: int, lun: int, kind: int, weight: float, active: int, patches: list[tuple[int, float]]
    ) -> None:
        cols.append((cell, len(land) - 1, lun, kind, weight, active))
        for pft, share in patches:
            pats.append((cell, len(cols) - 1, pft, share, lun, int(active and share > 0.0)))

    def add_landunit(cell: int, kind: int, weight: float, topounit: bool = False) -> None:
        if topounit:
            tops.append(cell)
        land.append((cell, kind, weight, len(tops) - 1))

    for cell in range(cells):
        if cell in barren:
            add_landunit(cell, 3, 1.0, topounit=True)
            add_column(cell, 3, 3, 1.0, 1, [(0, 1.0)])
            continue
        has_lake, has_wetland, has_ice = lake and cell % 2 == 0, wetland and cell % 3 == 0, ice and cell % 2
        soil = 1.0 - (0.2 if crop else 0.0) - (0.1 if has_lake else 0.0)
        soil -= (0.05 if has_wetland else 0.0) + (0.25 if has_ice else 0.0)
        for share, plants in divide(cover[cell]) if topounits == "soil" else [(1.0, cover[cell])]:
            add_landunit(cell, 1, soil * share, topounit=True)
            add_column(cell, 1, 1, soil * share, 1, [(k, float(plants[k])) for k in range(npft)])
        if crop:
            add_landunit(cell, 2, 0.2)
            add_column(cell, 2, 215, 0.2, 1, [(15, 1.0)])
            add_column(cell, 2, 216, 0.0, 0, [(16, 1.0)])
        if urban:
            for unit in (7, 8, 9):
                add_landunit(cell, unit, 0.0)
                for kind in (71, 72, 73, 74, 75):
                    add_column(cell, unit, kind, 0.0, 0, [(0, 1.0)])
        if has_lake:
            add_landunit(cell, 5, 0.1, topounit=topounits == "lake")
            add_column(cell, 5, 5, 0.1, 1, [(0, 1.0)])
        if has_wetland:
            add_landunit(cell, 6, 0.05)
            add_column(cell, 6, 6, 0.05, 1, [(0, 1.0)])
        if has_ice:
            add_landunit(cell, 3, 0.25)
            add_column(cell, 3, 3, 0.25, 1, [(0, 1.0)])

    column_order = rng.permutation(len(cols)) if shuffle else np.arange(len(cols))
    patch_order = rng.permutation(len(pats)) if shuffle else np.arange(len(pats))
    place = np.argsort(column_order)
    c = np.array(cols, dtype=float)[column_order]
    p = np.array(pats, dtype=float)[patch_order]
    p_column = place[p[:, 1].astype(int)]
    p_cell, p_pft, p_cover = p[:, 0].astype(int), p[:, 2].astype(int), p[:, 3]
    soil_column = (c[:, 2] == 1) & (c[:, 3] == 1)
    bgc_column = soil_column | ((c[:, 2] == 2) & (c[:, 5] == 1))
    stale_column = (c[:, 2] == 2) & (c[:, 5] == 0)
    covered = bgc_column[p_column] & (p_cover > 0.0)

    ad = state == 1
    layered: dict[str, np.ndarray] = {}
    depth = np.exp(-np.arange(10) / 4.0)
    for pool in SOIL_POOLS:
        scale = {"soil3": 1000.0, "soil4": 400.0, "cwd": 800.0}.get(pool, 100.0)
        carbon = np.zeros((len(c), 15))
        carbon[:, :10] = scale * depth * rng.uniform(0.9, 1.1, (len(c), 10))
        carbon *= (1.0 if ad else F.get(pool, 1.0)) * bgc_column[:, None]
        ratios = (CN[pool], CP[pool]) if pool in CN else ((500.0, 5000.0) if pool == "cwd" else (90.0, 900.0))
        layered[f"{pool}c_vr"] = carbon
        layered[f"{pool}n_vr"] = carbon / ratios[0]
        layered[f"{pool}p_vr"] = carbon / ratios[1]
    for name, value in (("smin_no3_vr", 0.5), ("smin_nh4_vr", 0.25)):
        layered[name] = np.zeros((len(c), 15))
        layered[name][:, :10] = value * bgc_column[:, None]
    layered["sminn_vr"] = layered["smin_no3_vr"] + layered["smin_nh4_vr"]
    for name in ("solutionp_vr", "labilep_vr", "secondp_vr", "occlp_vr", "primp_vr"):
        layered[name] = np.zeros((len(c), 15))
        layered[name][:, :10] = (0.1 if ad else 10.0) * bgc_column[:, None]
    for values in layered.values():
        values[stale_column] = FILL

    plant: dict[str, np.ndarray] = {}
    k = np.minimum(p_pft, 16)
    grows = covered & (p_pft > 0)
    leafc = np.where(grows & np.isin(p_pft, EVERGREEN), rng.uniform(50.0, 200.0, len(p)), 0.0)
    leafc = np.where(grows & (p_pft >= 12), rng.uniform(20.0, 80.0, len(p)), leafc)
    live = np.where(grows & (WOODY[k] > 0), rng.uniform(20.0, 60.0, len(p)), 0.0)
    dead = 36.0 * live * (1.0 if ad else MORTALITY)
    carbon = {"leaf": leafc, "froot": leafc.copy(), "livestem": live, "deadstem": dead}
    carbon |= {"livecroot": 0.3 * live, "deadcroot": 0.3 * dead}
    for organ in ORGANS:
        for stage in STAGES:
            share = {"": 1.0, "_storage": 0.5, "_xfer": 0.0}[stage]
            stored = np.where(grows, 60.0 if organ in ("leaf", "froot") else 0.0, 0.0)
            values = (
                carbon[organ]
                if stage == ""
                else share * (stored if organ in ("leaf", "froot") else carbon[organ])
            )
            plant[f"{organ}c{stage}"] = values
            for element in "np":
                fixed = ratio_of(organ, element)[k]
                plant[f"{organ}{element}{stage}"] = np.where(
                    fixed > 0, values / np.where(fixed > 0, fixed, 1.0), 0.0
                )
    # Patches without cover hold the constants of a cold start.
    bare = bgc_column[p_column] & ~covered & (p_pft > 0)
    plant["leafc"] = np.where(bare & np.isin(p_pft, EVERGREEN), 1.0, plant["leafc"])
    plant["deadstemc"] = np.where(bare & (WOODY[k] > 0), 0.1, plant["deadstemc"])
    singles = {
        "cpool": 0.0,
        "gresp_storage": 1.0,
        "gresp_xfer": 0.0,
        "npool": 5.0,
        "retransn": 1.0,
        "retransp": 0.1,
    }
    for name, value in singles.items():
        plant[name] = np.where(covered, value, 0.0)
    plant["npool"][bare] = 10.0
    plant["xsmrpool"] = np.where(covered, -3.0, 0.0)
    plant["ppool"] = np.where(bare, 1.0, np.where(covered, (0.3 if ad else 1.5) * plant["leafp"], 0.0))
    slope = np.where(DSLADLAI[k] > 0, DSLADLAI[k], 1.0)
    tlai = np.where(DSLADLAI[k] > 0, SLATOP[k] * np.expm1(slope * leafc) / slope, SLATOP[k] * leafc)
    plant["tlai"] = np.where(covered, tlai, 0.0)
    plant["elai"] = 0.8 * plant["tlai"]
    plant["htop"] = np.where(covered, 10.0, 0.0)
    plant["hbot"] = np.where(covered, 3.0, 0.0)
    carbon_names = [f"{o}c{s}" for o in ORGANS for s in STAGES] + ["cpool", "gresp_storage", "gresp_xfer"]
    plant["totvegc"] = np.sum([plant[n] for n in carbon_names], axis=0)

    restart = folder / f"case.elm.r.{year:04d}-01-01-00000.nc"
    with netCDF4.Dataset(restart, "w", format="NETCDF3_64BIT_DATA") as d:
        d.set_fill_off()
        d.title = "ELM Restart information"
        d.case_id = "case"
        d.surface_dataset = "surfdata.nc"
        d.setncattr("ilun_crop", np.int32(2))
        sizes = {
            "gridcell": cells,
            "topounit": len(tops),
            "landunit": len(land),
            "column": len(c),
            "pft": len(p),
            "levgrnd": 15,
            "levurb": 5,
            "levlak": 10,
            "levsno": 5,
            "levsno1": 6,
            "levtot": 20,
            "string_length": 64,
        }
        for name, size in sizes.items():
            d.createDimension(name, size)

        def put(name: str, kind: str, dims: tuple[str, ...], values: object) -> None:
            variable = d.createVariable(name, kind, dims, fill_value=FILL if kind == "f8" else -9999)
            variable.interpinic_flag = np.int32(1)
            variable.missing_value = np.float64(FILL) if kind == "f8" else np.int32(-999)
            variable[...] = values

        put("timemgr_rst_curr_ymd", "i4", (), year * 10000 + 101)
        put("timemgr_rst_curr_tod", "i4", (), 0)
        put("spinup_state", "i4", (), state)
        put("decomp_cascade_state", "i4", (), 10)
        put("grid1d_lat", "f8", ("gridcell",), lat)
        put("grid1d_lon", "f8", ("gridcell",), lon % 360.0 if east else lon)
        put("grid1d_ixy", "i4", ("gridcell",), np.arange(cells) + 1)
        put("grid1d_jxy", "i4", ("gridcell",), np.ones(cells))
        put("topo1d_gridcell_index", "i4", ("topounit",), np.array(tops) + 1)
        lands = np.array(land)
        put("land1d_gridcell_index", "i4", ("landunit",), lands[:, 0] + 1)
        put("land1d_ityplun", "i4", ("landunit",), lands[:, 1])
        put("land1d_wtxy", "f8", ("landunit",), lands[:, 2])
        put("land1d_topounit_index", "i4", ("landunit",), lands[:, 3] + 1)
        put("cols1d_gridcell_index", "i4", ("column",), c[:, 0] + 1)
        put("cols1d_landunit_index", "i4", ("column",), c[:, 1] + 1)
        put("cols1d_topounit_index", "i4", ("column",), lands[c[:, 1].astype(int), 3] + 1)
        put("cols1d_ityplun", "i4", ("column",), c[:, 2])
        put("cols1d_ityp", "i4", ("column",), c[:, 3])
        put("cols1d_wtxy", "f8", ("column",), c[:, 4])
        put("cols1d_active", "i4", ("column",), c[:, 5])
        put("pfts1d_gridcell_index", "i4", ("pft",), p_cell + 1)
        put("pfts1d_column_index", "i4", ("pft",), p_column + 1)
        put("pfts1d_itypveg", "i4", ("pft",), p_pft)
        put("pfts1d_ityplun", "i4", ("pft",), p[:, 4])
        put("pfts1d_wtcol", "f8", ("pft",), p_cover)
        put("pfts1d_wtxy", "f8", ("pft",), p_cover * c[p_column, 4])
        put("pfts1d_active", "i4", ("pft",), p[:, 5])
        put("T_SOISNO", "f8", ("column", "levtot"), rng.uniform(250.0, 300.0, (len(c), 20)))
        put("T_VEG", "f8", ("pft",), np.where(rng.random(len(p)) < 0.3, np.nan, 280.0))
        put("burndate", "i4", ("pft",), 10000)
        scalar = scalaravg if scalaravg is not None else (0.01 if ad else 1.0)
        put(
            "scalaravg_col",
            "f8",
            ("column", "levgrnd"),
            np.where(bgc_column[:, None], scalar, FILL) * np.ones(15),
        )
        for name, values in layered.items():
            put(name, "f8", ("column", "levgrnd"), values)
        for name, values in plant.items():
            put(name, "f8", ("pft",), values)
        for total, parts in (("totlitc", SOIL_POOLS[:3]), ("totsomc", SOIL_POOLS[4:])):
            stock = np.sum(
                [np.where(bgc_column[:, None], layered[f"{q}c_vr"], 0.0)[:, :10] @ DZ for q in parts], axis=0
            )
            put(total, "f8", ("column",), stock)
        letters = d.createVariable("locfnh", "S1", ("string_length",))
        letters[:] = np.array(list("case.elm.h0.nc".ljust(64)), dtype="S1")

    # Of a cell with several soil columns the last one on file.
    patch = np.full((cells, 17), -1)
    on_soil = soil_column[p_column]
    patch[p_cell[on_soil], p_pft[on_soil]] = np.flatnonzero(on_soil)
    full = np.zeros((cells, 17))
    full[:, :npft] = cover
    column = np.full(cells, -1)
    column[c[soil_column, 0].astype(int)] = np.flatnonzero(soil_column)
    labile = rng.uniform(2.0, 30.0, cells)
    return World(
        restart,
        write_surface(folder / "surfdata.nc", lat, lon, cover, labile),
        write_parameters(folder / "clm_params.nc"),
        write_soil_parameters(folder / "CNP_parameters.nc"),
        lat,
        lon,
        column,
        patch,
        full,
    )


def copy_of(path: Path, folder: Path) -> Path:
    """A writable copy under the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / path.name
    shutil.copyfile(path, target)
    return target


def raw(path: Path, name: str) -> np.ndarray:
    """Values of a variable as they are on file."""
    with netCDF4.Dataset(path) as d:
        d.set_auto_maskandscale(False)
        return np.asarray(d[name][...])


def edit(path: Path, name: str, index: object, value: object) -> None:
    """Sets values of a variable in place."""
    with netCDF4.Dataset(path, "r+") as d:
        d.set_auto_maskandscale(False)
        d[name][index] = value


def without(path: Path, target: Path, *names: str, dimension: str = "", flavour: str | None = None) -> Path:
    """A copy without some variables, or without a dimension and what lies on it; attributes are kept.

    Args:
        path: file to copy.
        target: the copy.
        names: variables to leave out.
        dimension: dimension to leave out.
        flavour: NetCDF flavour of the copy; that of the file if None.
    """
    with (
        netCDF4.Dataset(path) as source,
        netCDF4.Dataset(target, "w", format=flavour or source.data_model) as d,
    ):
        source.set_auto_maskandscale(False)
        d.set_auto_maskandscale(False)
        d.setncatts({name: source.getncattr(name) for name in source.ncattrs()})
        for name, item in source.dimensions.items():
            if name != dimension:
                d.createDimension(name, None if item.isunlimited() else item.size)
        d.set_fill_off()
        kept = [
            name
            for name, variable in source.variables.items()
            if name not in names and dimension not in variable.dimensions
        ]
        for name in kept:
            variable = source[name]
            attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
            fill = attributes.pop("_FillValue", None)
            d.createVariable(name, variable.dtype, variable.dimensions, fill_value=fill).setncatts(attributes)
        # All definitions come first: a classic file moves its data whenever its header grows.
        for name in kept:
            d[name][...] = source[name][...]
    return target


def hide(path: Path, *names: str, dimension: str = "") -> None:
    """Renames variables or a dimension in place, so that nothing finds them; quicker than a copy."""
    with netCDF4.Dataset(path, "r+") as d:
        for number, name in enumerate(names):
            d.renameVariable(name, f"x{number}")
        if dimension:
            d.renameDimension(dimension, "x")


#: Variables of a restart that hold 1-based rows of another dimension.
_INDICES = {
    f"{owner}_{dimension}_index": dimension
    for owner in ("topo1d", "land1d", "cols1d", "pfts1d")
    for dimension in ("gridcell", "topounit", "landunit", "column")
}


def shuffled(path: Path, target: Path, seed: int = 0) -> Path:
    """The same restart with its cells, topounits, landunits, columns and patches in random order."""
    rng = np.random.default_rng(seed)
    without(path, target)
    with netCDF4.Dataset(target, "r+") as d:
        d.set_auto_maskandscale(False)
        order = {
            name: rng.permutation(d.dimensions[name].size)
            for name in ("gridcell", "topounit", "landunit", "column", "pft")
            if name in d.dimensions
        }
        for name, variable in d.variables.items():
            values = np.asarray(variable[...])
            if name in _INDICES:
                values = np.argsort(order[_INDICES[name]])[values - 1] + 1
            if variable.dimensions and variable.dimensions[0] in order:
                values = values[order[variable.dimensions[0]]]
            variable[...] = values
    return target
