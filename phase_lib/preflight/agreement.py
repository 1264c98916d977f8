"""The files of a domain describe the same cells, with the same plants on the same soils."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

from phase_lib.elm.constants import EARTH_RADIUS_KM, FILL_THRESHOLD, NATPFT, PFT_WEIGHT_TOLERANCE
from phase_lib.elm.domain import Domain
from phase_lib.elm.matching import SAME_CELL_KM, nearest, unit_vectors
from phase_lib.elm.netcdf import get_variable, open_dataset
from phase_lib.elm.parameters import read_parameters, read_soil_order_parameters
from phase_lib.elm.soil_grid import NLEVGRND
from phase_lib.elm.subgrid import compare_cover
from phase_lib.elm.surface import LAND, count_land, open_fields, read_surface
from phase_lib.elm.surface_content import check_phosphorus, refuse_fractions
from phase_lib.elm.variables import ORGANS, SOIL_POOLS, SURFACE_P, VARIABLES
from phase_lib.fusion.sources import require_static
from phase_lib.preflight.facts import Cells, Restart, SurfaceFacts
from phase_lib.preflight.findings import Finding, finding

#: Of a soil-order file: these divide or bound, the others may be zero.
_POSITIVE = ("smax", "ks_sorption")
#: A restart has more natural vegetation than this, %: then a surface file with at most 1 has fractions.
_MORE_THAN_FRACTIONS = 2.0


def check_same_cells(first: Cells, other: Cells) -> Iterator[Finding]:
    """Two files of one run list the same number of cells, in the same places."""
    if len(first) == len(other) and not _apart(first, other).any():
        return
    small, large = sorted((first, other), key=len)
    lost, farthest = _lost(small, large)
    if lost:
        yield finding(
            small.path,
            f"{lost} of its {len(small)} cells have no partner among the {len(large)} of {large.path}; "
            f"{farthest}",
            expected=f"the same cells, at most {SAME_CELL_KM:g} km apart",
            remedy="use files of the same grid",
        )
    elif len(small) < len(large):
        yield finding(
            small.path,
            f"has {len(small)} cells, all of them among the {len(large)} of {large.path}: looks like a "
            "subset of the cells mixed with the full domain",
            expected="files of the same cells",
            remedy=f"give both files of the {len(small)} cells, or both of the {len(large)}",
        )


def _lost(cells: Cells, among: Cells) -> tuple[int, str]:
    """How many cells are not among others, and in words the one that is farthest from them."""
    _, distance = nearest(cells.lat, cells.lon, among.lat, among.lon)
    worst = int(np.argmax(distance))
    place = f"lat {cells.lat[worst]:.3f} lon {cells.lon[worst]:.3f}"
    count = int(np.count_nonzero(distance > SAME_CELL_KM))
    return count, f"the farthest, at {place}, is {distance[worst]:.1f} km away"


def _apart(first: Cells, other: Cells) -> np.ndarray:
    """True where the cells of two lists of one length lie apart, one by one (gridcell)."""
    chord = unit_vectors(first.lat, first.lon) - unit_vectors(other.lat, other.lon)
    return np.asarray(np.linalg.norm(chord, axis=1) * EARTH_RADIUS_KM > SAME_CELL_KM)


def check_surface_cells(surface: SurfaceFacts, cells: Cells, domain: Domain | None) -> Iterator[Finding]:
    """The surface file has every cell, and no land beyond that unless the domain file masks it.

    ELM compares the points of the surface file with those of the domain file one by one, and aborts where
    they differ; the domain file masks those that are no land. Without one a grid may be masked, a list not.
    """
    points = surface.cells
    masked = domain is not None and prod(domain.shape) == len(points)
    if surface.listed and not masked:
        yield from check_same_cells(cells, points)
        return
    lost, farthest = _lost(cells, points)
    if lost:
        yield finding(
            points.path,
            f"LATIXY, LONGXY: {lost} of the {len(cells)} cells of {cells.path} are not among its "
            f"{len(points)} points; {farthest}",
            expected=f"every cell, at most {SAME_CELL_KM:g} km away",
            remedy="use the surface file of the run",
        )
    elif domain is not None and not masked:
        land = count_land(points.path)
        if land > len(cells):
            yield finding(
                points.path,
                f"is a grid of {len(points)} points with land on {land}, the {len(cells)} cells of "
                f"{domain.path} among them: looks like a subset of the cells mixed with the full domain",
                expected=f"the {prod(domain.shape)} points of the domain file: ELM aborts",
                remedy="use the surface file of the run",
            )


def check_cover(restart: Restart, surface: Path) -> Iterator[Finding]:
    """The cover of a restart against the surface file, as ELM compares them when it reads a restart."""
    grid, source = restart.grid, Path(restart.summary.surface_dataset).name
    share = read_surface(surface, ["PCT_NAT_PFT"], grid.lat, grid.lon)["PCT_NAT_PFT"]
    difference = compare_cover(grid.cover, share, grid.cover_known)
    if difference.cells:
        yield finding(
            restart.path,
            f"pfts1d_wtcol: the cover of {difference.cells} of {grid.ncells} cells is not PCT_NAT_PFT of "
            f"{surface}; most in cell {difference.cell + 1}, PFT {difference.pft}: "
            f"{100.0 * difference.cover:.3f} % and {100.0 * difference.expected:.3f} %",
            expected=f"a difference of at most {100.0 * PFT_WEIGHT_TOLERANCE:g} %: ELM aborts",
            remedy="use the surface file of the run" + (f", {source}" if source else ""),
        )


def check_ground(restart: Restart, surface: Path) -> Iterator[Finding]:
    """The surface file has ground, in percent, for the natural vegetation of the restart."""
    grid = restart.grid
    percent = read_surface(surface, ["PCT_NATVEG"], grid.lat, grid.lon)["PCT_NATVEG"]
    grown = grid.soil_fraction > 0.0
    none = grown & ~((percent > 0.0) & (percent < FILL_THRESHOLD))
    if none.any():
        first = int(np.argmax(none))
        yield finding(
            surface,
            f"PCT_NATVEG is {percent[first]:g} in {np.count_nonzero(none)} cells that have natural "
            f"vegetation in {restart.path}, first cell {first + 1} with "
            f"{100.0 * grid.soil_fraction[first]:.3g} %",
            expected="the natural vegetation of the run",
            remedy="use the surface file of the run",
        )
    elif 100.0 * np.max(grid.soil_fraction, initial=0.0) > _MORE_THAN_FRACTIONS:
        refuse_fractions(surface, ["PCT_NATVEG"], float(np.max(percent[grown])))


def check_areas(surface: Path, cells: Cells) -> None:
    """Every cell has a land area, which injection needs for its account.

    Raises:
        InputError: one has not.
    """
    with open_fields(surface, LAND, cells.lat, cells.lon) as fields:
        fields.land_area(np.arange(len(cells)))


def check_maps(surface: Path, cells: Cells, soil: np.ndarray, *, complete: bool) -> None:
    """The maps of mineral P hold possible values on cells with natural vegetation (`soil`, gridcell).

    Raises:
        InputError: one does not, or has no value although injection needs it (`complete`).
    """
    with open_fields(surface, ("PCT_NATVEG", *SURFACE_P), cells.lat, cells.lon) as fields:
        grown = np.flatnonzero(soil & (fields.read("PCT_NATVEG", np.arange(len(cells))) > 0.0))
        check_phosphorus(surface, fields, grown, cells.lat, cells.lon, SURFACE_P, complete=complete)


def check_other_restart(base: Restart, other: Restart) -> Iterator[Finding]:
    """Another restart of the domain has the same cells with the same plants."""
    findings = list(check_same_cells(base.cells, other.cells))
    yield from findings
    if findings:
        return
    row, _ = nearest(base.grid.lat, base.grid.lon, other.grid.lat, other.grid.lon)
    difference = compare_cover(base.grid.cover, 100.0 * other.grid.cover[row])
    if difference.cells:
        yield finding(
            other.path,
            f"pfts1d_wtcol: the cover of {difference.cells} of {base.grid.ncells} cells is not that of "
            f"{base.path}; most in cell {difference.cell + 1} there, PFT {difference.pft}: "
            f"{100.0 * difference.expected:.3f} % and {100.0 * difference.cover:.3f} %",
            expected=f"a difference of at most {100.0 * PFT_WEIGHT_TOLERANCE:g} %",
            remedy="use runs with one surface file",
        )


def check_parameters(path: Path) -> Iterator[Finding]:
    """The PFT and decomposition parameters: enough PFTs, their ratios, and the rates of the CTC cascade."""
    parameters = read_parameters(path)
    for name in sorted(parameters.pft.keys() & {ratio for ratios in ORGANS.values() for ratio in ratios}):
        values = parameters.per_pft(name)
        if np.any(values < 0.0):
            pft = int(np.argmax(values < 0.0))
            yield finding(
                path,
                f"parameter {name} is {values[pft]:g} for PFT {pft}",
                expected="0 or more",
                remedy="use the paramfile of the run",
            )
    for pool in SOIL_POOLS:
        rate = parameters.value(pool.rate)
        if not 0.0 < rate < np.inf:
            yield finding(
                path,
                f"parameter {pool.rate} is {rate:g}",
                expected="the rate of a pool of the CTC cascade, above 0 per day",
                remedy="use the paramfile of the run",
            )


def check_soil_orders(path: Path, surface: Path, cells: Cells, used: np.ndarray) -> Iterator[Finding]:
    """The soil-order parameters have possible values for each soil order of the cells.

    Where `used` (gridcell) is False, without natural vegetation, the surface file may hold any value.
    """
    values = read_soil_order_parameters(path)
    order = read_surface(surface, ["SOIL_ORDER"], cells.lat, cells.lon)["SOIL_ORDER"]
    for name in _POSITIVE:
        if name not in values:
            yield finding(path, f"variable {name} is missing", expected=f"{name}(soilorder)")
    size = len(next(iter(values.values()), ()))
    outside = used & ~((order >= 0) & (order < size) & (order == np.rint(order)))
    if outside.any():
        cell = int(np.argmax(outside))
        yield finding(
            surface,
            f"SOIL_ORDER of {np.count_nonzero(outside)} cells is not in {path}, first cell {cell + 1} "
            f"with {order[cell]:g}",
            expected=f"0 to {size - 1}",
            remedy="use the surface file and the fsoilordercon of the run",
        )
        return
    orders = np.unique(order[used].astype(np.int64))
    for name, by_order in values.items():
        least = np.nextafter(0.0, 1.0) if name in _POSITIVE else 0.0
        bad = orders[~((by_order[orders] >= least) & (by_order[orders] < np.inf))]
        if len(bad):
            yield finding(
                path,
                f"variable {name} is {by_order[bad[0]]:g} for soil order {bad[0]}, which "
                f"{np.count_nonzero(order == bad[0])} cells have",
                expected="a value above 0" if name in _POSITIVE else "0 or more",
                remedy="use the fsoilordercon of the run",
            )


def require_state(restart: Restart) -> None:
    """All pools and whatever else fusion requires are on a restart, with their dimensions.

    Raises:
        InputError: one is not.
    """
    with open_dataset(restart.path) as dataset:
        for name, entry in VARIABLES.items():
            if entry.is_required:
                get_variable(restart.path, dataset, name, entry.dims)


def require_fields(surface: Path) -> tuple[str, ...]:
    """The horizontal dimensions of a surface file with all fields that fusion reads.

    Raises:
        InputError: one is missing, or has other dimensions or units.
    """
    with open_dataset(surface) as dataset:
        return require_static(surface, dataset)


def check_layers(restart: Restart, surface: SurfaceFacts | None) -> Iterator[Finding]:
    """The soil layers and PFTs are those that the surrogate handles."""
    if restart.summary.levgrnd != NLEVGRND:
        yield finding(
            restart.path,
            f"dimension levgrnd is {restart.summary.levgrnd}",
            expected=f"{NLEVGRND}, with bedrock",
            remedy="use a run on ELM's standard soil layers",
        )
    if surface is not None and surface.natpft != restart.summary.natural_pfts:
        yield finding(
            surface.cells.path,
            f"dimension natpft is {surface.natpft}, but the soil columns of {restart.path} have "
            f"{restart.summary.natural_pfts} PFTs",
            expected=f"{NATPFT} of both, or fewer of both with a crop landunit",
            remedy="use the surface file of the run",
        )
