"""The cells of a large domain on which the conventional reference run gives labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phase_lib.base.errors import InputError
from phase_lib.base.files import fingerprint, write_json, writing
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import code_version
from phase_lib.config.sites import LEAST_COVER, Method
from phase_lib.dataset.space import SOIL_LAYERS, FeatureSpace, mean_cycle, of_climate, of_soil
from phase_lib.dataset.strata import (
    choose,
    missing_strata,
    nearest_site,
    strata_of_cover,
    strata_of_soil,
)
from phase_lib.elm.blocks import ranges
from phase_lib.elm.constants import EARTH_RADIUS_KM, FILL_THRESHOLD
from phase_lib.elm.cutting import cut_domain, cut_surface
from phase_lib.elm.domain import Domain, read_domain
from phase_lib.elm.matching import match_cells
from phase_lib.elm.surface import open_fields, surface_points
from phase_lib.elm.variables import SURFACE_P
from phase_lib.forcing.pieces import open_pieces
from phase_lib.forcing.variables import FORCING

#: Cells whose fields and forcing are read together.
_CELLS = 1 << 13
_COVER, _NATURAL, _ORDER = "PCT_NAT_PFT", "PCT_NATVEG", "SOIL_ORDER"
#: Files in the output directory.
LISTED, SUMMARY, SURFACE, DOMAIN = "sites.csv", "sites.json", "surfdata.nc", "domain.nc"


def choose_sites(
    surface: str | Path,
    domain: str | Path,
    forcing: Sequence[str | Path],
    count: int,
    output_dir: str | Path,
    *,
    method: Method = "stratified",
    seed: int = 0,
    least_cover: float = LEAST_COVER,
) -> dict[str, Any]:
    """Chooses sites and writes their list, their surface and domain file, and how well they cover the space.

    Candidates are the land cells with natural vegetation. Of the surface data a block of cells is in memory
    at a time, of the forcing a block of cells of one variable; of each cell some forty numbers stay.

    Args:
        surface, domain: surface and domain file, on a grid or as a list.
        forcing: monthly means that `reduce_forcing` wrote.
        count: number of sites.
        output_dir: where the files go.
        method: `stratified` or `random`.
        seed: of the choice.
        least_cover: from which cover of natural vegetation on a PFT needs a site, %.

    Returns:
        Content of `sites.json`.

    Raises:
        InputError: a file is unreadable, files do not belong together, or there are fewer cells than sites.
    """
    land = read_domain(domain)
    if land.shape == (1, 1):
        raise InputError(domain, "has a single cell", expected="a domain with cells to choose from")
    point = surface_points(surface, land.lat, land.lon)
    candidates, features, order = _features_of_surface(surface, land)
    if count > len(candidates):
        raise InputError(
            domain,
            f"has {len(candidates)} land cells with natural vegetation, of which {count} are to be chosen",
            expected=f"at most {len(candidates)}",
            remedy="ask for fewer cells",
        )
    features["climate"] = _climate(forcing, land.lat[candidates], land.lon[candidates])
    place = FeatureSpace.fit(features).place(features)
    strata = strata_of_cover(features["vegetation"], least_cover) | strata_of_soil(order)
    choice = choose(place, strata, count, method, seed)
    nearest, distance = nearest_site(place, choice.sites)
    cells = candidates[choice.sites]
    km2 = (land.frac * land.area)[candidates] * EARTH_RADIUS_KM**2
    table = pd.DataFrame(
        {
            "surface_cell": point[cells],
            "land_cell": cells,
            "lat": land.lat[cells],
            "lon": land.lon[cells],
            "cluster": choice.cluster,
            "cells": np.bincount(nearest, minlength=count),
            "land_km2": np.bincount(nearest, km2, minlength=count),
        }
    )
    at_random = choose(place, strata, count, "random", seed)
    missing = missing_strata(strata, choice.sites)
    if missing:
        LOGGER.warning("no site among %d has %s", count, ", ".join(missing))
    summary = {
        "method": method,
        "seed": seed,
        "sites": count,
        "candidates": len(candidates),
        "land_cells": land.ncells,
        "distance": {
            method: _described(distance),
            **({} if method == "random" else {"random": _described(nearest_site(place, at_random.sites)[1])}),
        },
        "least_cover_percent": least_cover,
        "strata": {
            name: {"cells": int(members.sum()), "sites": int(members[choice.sites].sum())}
            for name, members in strata.items()
            if members.any()
        },
        "strata_without_site": missing,
        "inputs": {str(path): fingerprint(path) for path in (surface, domain, *forcing)},
        "code_version": code_version(),
    }
    _write(Path(output_dir), surface, land, table, summary)
    return summary


def _write(
    directory: Path, surface: str | Path, land: Domain, table: pd.DataFrame, summary: Mapping[str, Any]
) -> None:
    """Writes all files; the summary, which stands for a complete directory, comes last."""
    cells, points = table.land_cell.to_numpy(), table.surface_cell.to_numpy()
    note = f"{len(table)} of {land.ncells} land cells, chosen by phase choose-sites {code_version()}"
    cut_surface(surface, directory / SURFACE, points, note)
    cut_domain(land.path, directory / DOMAIN, land.row[cells], note)
    with writing(directory / LISTED) as temporary:
        table.to_csv(temporary, index=False)
    write_json(directory / SUMMARY, summary)


def _features_of_surface(
    path: str | Path, land: Domain
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Candidates among the land cells (cell), their features of soil and vegetation, and their soil order."""
    names = (_NATURAL, _COVER, _ORDER, *SOIL_LAYERS, *SURFACE_P)
    pieces: dict[str, list[np.ndarray]] = {"candidate": [], "soil": [], "vegetation": [], "order": []}
    with open_fields(path, names, land.lat, land.lon) as fields:
        for block in ranges(land.ncells, _CELLS):
            cells = np.arange(block.start, block.stop)
            natural = fields.read(_NATURAL, cells)
            cells = cells[(natural > 0.0) & (natural < FILL_THRESHOLD)]
            read = partial(_sound, path, fields, cells=cells)
            pieces["candidate"].append(cells)
            pieces["soil"].append(of_soil({name: read(name) for name in (*SOIL_LAYERS, *SURFACE_P)}))
            pieces["vegetation"].append(read(_COVER))
            pieces["order"].append(read(_ORDER))
    joined = {name: np.concatenate(values) for name, values in pieces.items()}
    candidates, order = joined.pop("candidate"), joined.pop("order")
    return candidates, joined, order


def _sound(path: str | Path, fields: Any, name: str, *, cells: np.ndarray) -> np.ndarray:
    """A field of cells, float64, in which nothing is missing."""
    values = np.asarray(fields.read(name, cells), dtype=np.float64)
    wrong = ~((values >= 0.0) & (values < FILL_THRESHOLD)).reshape(len(cells), -1).all(axis=1)
    if np.any(wrong):
        cell = int(cells[np.argmax(wrong)])
        what = f"variable {name} has no amount in land cell {cell + 1}, which has natural vegetation"
        raise InputError(path, what, expected="0 or more", remedy="repair the surface data")
    return values


def _climate(forcing: Sequence[str | Path], lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Features of the climate of cells (cell, 12)."""
    with open_pieces(forcing) as pieces:
        row, _ = match_cells(lat, lon, pieces.lat, pieces.lon, file=forcing[0], what="cells with forcing")
        blocks = []
        for block in ranges(len(pieces.lat), _CELLS):
            series = {
                name: np.concatenate([piece[block].to_numpy() for piece in pieces.on_file(name)], axis=1)
                for name in FORCING
            }
            blocks.append(of_climate({name: mean_cycle(values) for name, values in series.items()}))
        climate = np.concatenate(blocks)[row]
    if not np.isfinite(climate).all():
        cell = int(np.argmin(np.isfinite(climate).all(axis=1)))
        what = f"the forcing of the cell at lat {lat[cell]:.3f} lon {lon[cell]:.3f} is not complete"
        raise InputError(forcing[0], what, remedy="reduce the forcing again")
    return climate


def _described(distance: np.ndarray) -> dict[str, float]:
    """Distance of the cells to their nearest site, in standard deviations."""
    return {
        "median": float(np.median(distance)),
        "percentile_95": float(np.percentile(distance, 95.0)),
        "largest": float(distance.max()),
    }
