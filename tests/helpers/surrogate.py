"""A made-up dataset in the schema of the fusion, for tests of the surrogate.

Pools follow from climate, soil and cover by simple steady-state rules, so that the 20-year state is a
biased and incomplete view of the target, as in a real spin-up: growth is not yet limited by nutrients,
and slow pools have not yet filled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.config.dataset import DatasetSettings
from phase_lib.config.kinds import overlay
from phase_lib.config.surrogate import SurrogateSettings
from phase_lib.dataset.normalization import normalize
from phase_lib.dataset.split import SplitKind, split
from phase_lib.elm.soil_grid import DZSOI, ZSOI
from phase_lib.fusion.schema import SOIL_VARIABLES, STATE_VARIABLES, TRAITS, units_of
from phase_lib.surrogate.training import train

PATCH_TARGETS = ("deadcrootc", "deadstemc", "tlai", "leafc")
LAYER_TARGETS = ("soil3c_vr", "soil4c_vr", "cwdc_vr", "litr1c_vr")
MONTHS = 240
NPFT, NLEV = 17, 10

#: Share of the years to steady state that 20 accelerated years are, by pool: 1 / turnover, 1/yr.
_RATES = {"soil3c_vr": 1.0, "soil4c_vr": 1.0, "cwdc_vr": 0.5, "litr1c_vr": 20.0}
_REAL_RATES = {"soil3c_vr": 0.51, "soil4c_vr": 0.0365, "cwdc_vr": 0.365, "litr1c_vr": 20.0}
_INPUT_SHARE = {"soil3c_vr": 0.1, "soil4c_vr": 0.03, "cwdc_vr": 0.3, "litr1c_vr": 0.3}


def _smooth(rng: np.random.Generator, lat: np.ndarray, lon: np.ndarray, waves: int = 12) -> np.ndarray:
    """A field that varies over some thousand kilometres, about standard normal."""
    place = np.stack(
        [
            np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
            np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
            np.sin(np.radians(lat)),
        ],
        axis=1,
    )
    wave = rng.normal(0.0, 4.0, (3, waves))
    return np.cos(place @ wave + rng.uniform(0.0, 2.0 * np.pi, waves)).sum(1) / np.sqrt(waves / 2.0)


def make_values(
    cells: int = 120,
    seed: int = 0,
    warmer: float = 0.0,
    coordinates: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Values of all variables, cells ordered by latitude and longitude.

    Args:
        cells: number of cells.
        seed: of the world; the same seed gives the same fields.
        warmer: K added to the temperature: a climate that the dataset does not have where it is large.
        coordinates: latitudes and longitudes; drawn if None.
    """
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-0.7, 0.95, cells)))
    lon = rng.uniform(0.0, 360.0, cells)
    if coordinates is not None:
        lat, lon = coordinates
    order = np.lexsort((lon, lat))
    lat, lon = lat[order], lon[order]
    v: dict[str, np.ndarray] = {"lat": lat, "lon": lon, "cell": np.arange(cells)}
    fields = np.random.default_rng([seed, 1])
    local = np.random.default_rng([seed, 2])

    def noise(scale: float, *shape: int) -> np.ndarray:
        return np.exp(scale * local.normal(size=(cells, *shape)))

    warm = 28.0 - 48.0 * np.sin(np.radians(lat)) ** 2 + 3.0 * _smooth(fields, lat, lon) + warmer
    season = 2.0 + 18.0 * np.abs(np.sin(np.radians(lat))) * np.exp(0.3 * _smooth(fields, lat, lon))
    rain = 900.0 * np.exp(0.7 * _smooth(fields, lat, lon) + 0.015 * (warm - 10.0).clip(-30, 20))
    phase = np.where(lat >= 0.0, -np.pi, 0.0)[:, None]
    month = np.arange(MONTHS)[None, :]
    cycle = np.cos(2.0 * np.pi * (month + 0.5) / 12.0 + phase)
    v["TBOT"] = 273.15 + warm[:, None] + season[:, None] * cycle + local.normal(0.0, 1.0, (cells, MONTHS))
    v["PRECTmms"] = (rain[:, None] / 3.15e7) * (1.0 + 0.5 * cycle).clip(0.05) * noise(0.4, MONTHS)
    v["FSDS"] = (
        180.0 * np.cos(np.radians(lat))[:, None] * (1.0 + 0.5 * cycle)
        + 30.0
        + local.normal(0, 5, (cells, MONTHS))
    )
    v["FLDS"] = 5.67e-8 * v["TBOT"] ** 4 * 0.8
    v["PSRF"] = np.broadcast_to(9.5e4 + 3.0e3 * _smooth(fields, lat, lon)[:, None], (cells, MONTHS)).copy()
    v["QBOT"] = 0.7 * 3.8e-3 * np.exp(17.3 * (v["TBOT"] - 273.15) / (v["TBOT"] - 36.0))

    suits = np.stack(
        [_smooth(fields, lat, lon) - ((warm - best) / 10.0) ** 2 for best in np.linspace(-12, 28, NPFT)], 1
    )
    cover = np.exp(1.5 * suits)
    cover = np.where(cover >= np.sort(cover, axis=1)[:, -4, None], cover, 0.0)
    cover /= cover.sum(1, keepdims=True)
    v["cover"] = cover
    v["covered"] = (cover > 0.0).astype(np.int8)
    v["PCT_NAT_PFT"] = 100.0 * cover
    v["area_km2"] = np.full(cells, 2.0e5) * np.cos(np.radians(lat))
    v["landfrac"] = np.ones(cells)
    v["complete"] = v["trainable"] = np.ones(cells, dtype=np.int8)
    v["AREA"], v["LANDFRAC_PFT"], v["PCT_NATVEG"] = v["area_km2"], v["landfrac"], np.full(cells, 95.0)
    v["SOIL_COLOR"] = local.integers(1, 21, cells).astype(float)
    v["SOIL_ORDER"] = (1 + (7.0 + 3.0 * _smooth(fields, lat, lon)).clip(0, 13)).astype(int).astype(float)
    labile = 8.0 * np.exp(0.8 * _smooth(fields, lat, lon))
    for name, share in (("LABILE_P", 1.0), ("SECONDARY_P", 3.0), ("OCCLUDED_P", 5.0), ("APATITE_P", 4.0)):
        v[name] = labile * share * noise(0.2)
    clay = (25.0 + 10.0 * _smooth(fields, lat, lon)).clip(3, 60)
    v["PCT_CLAY"] = np.broadcast_to(clay[:, None], (cells, NLEV)) + np.linspace(0, 5, NLEV)
    v["PCT_SAND"] = 90.0 - v["PCT_CLAY"]
    v["ORGANIC"] = 30.0 * np.exp(-ZSOI[:NLEV]) * noise(0.2)[:, None]
    for i, name in enumerate(TRAITS):
        v[f"pft_{name}"] = np.random.default_rng([9, i]).uniform(0.1, 50.0, NPFT)

    growth = 1200.0 / (1.0 + np.exp(1.3 - 0.12 * warm)) * (1.0 - np.exp(-rain / 700.0))
    potential = growth[:, None] * np.random.default_rng(7).uniform(0.5, 1.2, NPFT) * noise(0.05, NPFT)
    limit = labile / (labile + 0.004 * growth) * (1.0 - 0.01 * (v["SOIL_ORDER"] - 7.0))
    final = potential * limit[:, None]
    v["NPP"], v["Y_NPP"] = (potential * cover).sum(1), (final * cover).sum(1)
    for prefix in ("", "Y_"):
        v[f"{prefix}GPP"] = 2.1 * v[f"{prefix}NPP"]
        v[f"{prefix}AR"] = v[f"{prefix}GPP"] - v[f"{prefix}NPP"]
    v["HR"] = 0.9 * v["NPP"]

    woody = np.arange(NPFT) % 17 < 12
    wood = np.where(woody, 0.3, 0.0) / 0.02
    share = {
        "deadstemc": wood,
        "deadcrootc": 0.3 * wood,
        "tlai": np.full(NPFT, 4.0e-3),
        "leafc": np.full(NPFT, 0.25),
    }
    for name, per_npp in share.items():
        v[f"Y_{name}"] = np.where(cover > 0, final * per_npp * (1.0 + final / 4000.0), np.nan)
        v[f"state20_{name}"] = np.where(
            cover > 0, potential * per_npp * (0.98 if woody.any() else 1.0), np.nan
        )

    scalar = (0.6 ** ((22.0 - warm) / 10.0)).clip(0.01, 3.0) * (1.0 - np.exp(-rain / 500.0))
    depth = np.exp(-ZSOI[:NLEV] / 0.5)
    rates = scalar[:, None] * depth
    profile = np.exp(-ZSOI[:NLEV] / 0.2) / (np.exp(-ZSOI[:NLEV] / 0.2) * DZSOI[:NLEV]).sum()
    stays = 1.0 + 0.4 * (clay / 25.0 - 1.0)
    for name in LAYER_TARGETS:
        into = _INPUT_SHARE[name] * profile * stays[:, None]
        filled = 1.0 - np.exp(-_RATES[name] * rates * 20.0)
        v[f"Y_{name}"] = v["Y_NPP"][:, None] * into / (_REAL_RATES[name] * rates)
        v[f"state20_{name}"] = v["NPP"][:, None] * into / (_REAL_RATES[name] * rates) * filled

    for name in STATE_VARIABLES:
        base = v.get(f"state20_{name}", potential * 0.01)
        base = base / 10.0 if name.startswith("dead") else base
        v[name] = np.where(cover > 0, base * noise(0.02, NPFT), np.nan)
    v["xsmrpool"] = -v["xsmrpool"]
    v["annavg_t2m"] = np.where(cover > 0, 273.15 + warm[:, None], np.nan)
    for name in SOIL_VARIABLES:
        base = v.get(f"state20_{name}", v["NPP"][:, None] * profile * 0.01)
        v[name] = base * noise(0.02, NLEV)
    v["T_SCALAR"] = np.broadcast_to(rates, (cells, NLEV)) * noise(0.02, NLEV)
    v["scalaravg_col"] = rates / 20.0
    return v


def _group(name: str) -> str:
    if name in (
        "lat",
        "lon",
        "cell",
        "area_km2",
        "landfrac",
        "cover",
        "covered",
        "complete",
        "trainable",
        "record_file",
        "domain",
    ):
        return "index"
    if name.startswith("Y_"):
        return "target"
    if name.startswith("state20_"):
        return "state20"
    if name.startswith("pft_"):
        return "traits"
    if name in ("GPP", "NPP", "AR", "HR"):
        return "scalars"
    if name in STATE_VARIABLES:
        return "state"
    if name in SOIL_VARIABLES:
        return "soil"
    return "forcing" if name in ("TBOT", "PRECTmms", "FSDS", "FLDS", "PSRF", "QBOT") else "static"


def _dims(name: str, values: np.ndarray) -> tuple[str, ...]:
    if name.startswith("pft_"):
        return ("natpft",)
    level = {MONTHS: "time", NPFT: "natpft", NLEV: "levdecomp"}
    return ("gridcell", *(level[size] for size in values.shape[1:]))


def _units(name: str) -> str:
    stem = name.removeprefix("Y_").removeprefix("state20_")
    return "1" if _group(name) in ("index", "traits") else units_of(stem)


def _write(path: Path, values: dict[str, np.ndarray], cells: slice, identity: str) -> None:
    # Classic, which opens in a third of the time: a training opens these files dozens of times.
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as dataset:
        dataset.dataset_id = identity
        count = len(values["lat"][cells])
        for dim, size in (("gridcell", count), ("time", MONTHS), ("natpft", NPFT), ("levdecomp", NLEV)):
            dataset.createDimension(dim, size)
        for name, array in values.items():
            variable = dataset.createVariable(name, array.dtype, _dims(name, array), fill_value=False)
            variable.setncatts({"group": _group(name), "units": _units(name)})
        for name, array in values.items():
            dataset[name][:] = array if name.startswith("pft_") else array[cells]


def write_dataset(
    directory: Path, values: dict[str, np.ndarray], record_cells: int = 50, identity: str = "synthetic"
) -> Path:
    """Writes `records_NN.nc` and `cells.nc`; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    cells = len(values["lat"])
    record_file = np.arange(cells) // record_cells
    for number in range(record_file[-1] + 1):
        part = slice(number * record_cells, min((number + 1) * record_cells, cells))
        _write(directory / f"records_{number:02d}.nc", values, part, identity)
    index = {name: array for name, array in values.items() if _group(name) == "index"}
    index |= {"record_file": record_file, "domain": np.zeros(cells, dtype=np.int32)}
    _write(directory / "cells.nc", index, slice(None), identity)
    files = [(f"records_{number:02d}.nc", identity) for number in range(record_file[-1] + 1)]
    with netCDF4.Dataset(directory / "cells.nc", "r+") as dataset:
        dataset.domains = json.dumps(["embedded"])
        dataset.forcing = json.dumps({"embedded": {"product": "synthetic"}})
        dataset.semi_analytic = json.dumps({"embedded": {"source": None, "missed": "no history"}})
        dataset.turnover = json.dumps({"embedded": []})
        dataset.record_files = json.dumps(files)
    return directory


def write_split(dataset_dir: Path, kind: SplitKind = "random", seed: int = 3) -> Path:
    """Writes a split of the dataset; returns its path."""
    path = dataset_dir / f"split_{kind}.nc"
    split(dataset_dir, kind, DatasetSettings(), seed, path)
    return path


#: A network small enough to train in a test, and its training.
SMALL_NETWORKS = {
    "phase": {
        "d_model": 16,
        "attention_heads": 2,
        "fusion_layers": 1,
        "feedforward": 32,
        "lstm_hidden": 8,
        "cnn_channels": 8,
        "decoder_width": 32,
    },
    "mlp": {"width": 32, "d_model": 16, "decoder_width": 32},
    "cnn": {"width": 32, "d_model": 16, "decoder_width": 32, "channels": 8},
    "fno": {"width": 32, "d_model": 16, "decoder_width": 32, "channels": 8},
    "pinn": {"width": 32, "d_model": 16, "decoder_width": 32},
}
SMALL = {
    "network": {"kind": "phase", **SMALL_NETWORKS["phase"]},
    "members": 1,
    "epochs": 4,
    "warmup_epochs": 1,
    "batch_cells": 32,
    "checkpoint_seconds": 0.0,
}


def small_settings(**changes: object) -> SurrogateSettings:
    """Settings of the small network; the name of a kind alone stands for a small one of it."""
    network = changes.get("network")
    if isinstance(network, str):
        changes["network"] = {"kind": network, **SMALL_NETWORKS[network]}
    return SurrogateSettings.model_validate(overlay(SMALL, changes))


#: Baselines of a run's test file.
BASELINES = ("state20", "analogue")


@dataclass(frozen=True)
class Prepared:
    """A dataset with a split and a normalisation.

    Attributes:
        dataset: directory of the dataset.
        split: split file.
        normalization: normalisation of the split.
        settings: what the normalisation was made for.
    """

    dataset: Path
    split: Path
    normalization: Path
    settings: SurrogateSettings

    def train(self, output: Path, **changes: object) -> Path:
        """Trains with changed settings; returns the model file."""
        settings = SurrogateSettings.model_validate(overlay(self.settings.model_dump(), changes))
        return train(self.dataset, self.split, self.normalization, settings, output)


def prepare(
    directory: Path,
    values: dict[str, np.ndarray] | None = None,
    kind: SplitKind = "random",
    **changes: object,
) -> Prepared:
    """Writes a dataset, a split and a normalisation."""
    dataset = write_dataset(directory / "dataset", make_values() if values is None else values)
    split_file = write_split(dataset, kind)
    settings = small_settings(**changes)
    normalization = directory / "normalization.nc"
    normalize(dataset, split_file, settings, normalization)
    return Prepared(dataset, split_file, normalization, settings)
