"""The products of a whole run, synthetic: what summary and report are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.files import write_json
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.equilibrium.verdict import verdict_of_runs
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.surrogate.skill import write_test_file
from tests.helpers.history import Grid, write_history, years

PATCH = {"deadcrootc": "gC/m^2", "deadstemc": "gC/m^2", "tlai": "m^2/m^2"}
LAYER = {"soil3c": "gC/m^3", "soil4c": "gC/m^3", "cwdc": "gC/m^3"}
#: Scatter of the natural logarithm of each model's predictions.
ERROR = {"phase": 0.1, "paper": 0.2, "state20": 0.9, "analogue": 0.5}
SECONDS = {
    "make_world": 20.0,
    "reduce_forcing": 8.0,
    "run_ad_0021": 10.0,
    "run_ad_0401": 100.0,
    "run_reference_1201": 200.0,
    "fuse_records": 4.0,
    "train_surrogate-block": 60.0,
    "train_surrogate-random": 61.0,
    "run_control_0121": 25.0,
    "run_injected_0121": 26.0,
    "judge_equilibrium": 2.0,
}


@dataclass
class GlobalGrid(Grid):
    """Cells of a coarse global grid, those of a mask as land."""

    def __post_init__(self) -> None:
        super().__post_init__()
        lat = np.deg2rad(self.lat)[:, None] * np.ones(len(self.lon))
        self.area = np.abs(np.cos(lat)) * 3.0e5
        self.landfrac = np.where(
            (np.abs(lat) < 1.0) & (np.cos(np.deg2rad(self.lon)) > 0.0)[None, :], 0.8, 0.0
        )


def synthetic_run(
    root: Path, grid: Grid, seed: int = 0, *, paper: bool = True
) -> tuple[RunProducts, RunFacts]:
    """Writes every product of a run under `root`; with `paper` the paper's preset is among the models."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    splits = _splits(root, grid, rng)
    _verdict(root, grid, rng, splits["block"])
    products = RunProducts(
        verdict=root / "equilibrium" / "verdict.json",
        drift=root / "equilibrium" / "drift.nc",
        predictions=_predictions(root / "predictions.nc", grid, rng, splits["block"]),
        restart=_restart(root / "restart" / "ad.elm.r.0021-01-01-00000.nc", grid),
        diff=_diff(root / "diff.json"),
        splits=splits,
        tests={
            split: _test(root / f"test_{split}.nc", grid, rng, path, paper) for split, path in splits.items()
        },
        training={split: _training(root / f"{split}.csv", rng) for split in splits},
        benchmarks=_benchmarks(root / "benchmarks"),
        cleaning=_cleaning(root / "cleaning.json", grid),
    )
    facts = RunFacts(
        name="synthetic",
        config_hash="0123456789abcdef",
        directory=root,
        device="cpu",
        cores=2,
        input_years=20,
        stabilisation_years=100,
        conventional_years=1200,
        ood_action="keep",
    )
    return products, facts


def _splits(root: Path, grid: Grid, rng: np.random.Generator) -> dict[str, Path]:
    tile = (np.floor(grid.cell_lat / 15) * 100 + np.floor(grid.cell_lon / 15)).astype(int)
    tiles = np.unique(tile)
    chosen = rng.permutation(tiles)[: max(1, len(tiles) // 5)]
    parts = {
        "random": np.where(rng.random(grid.cells) < 0.2, 3, 1),
        "block": np.where(np.isin(tile, chosen), 3, 1),
    }
    paths = {}
    for split, part in parts.items():
        part[rng.random(grid.cells) < 0.08] = 2
        part[-1] = 3
        paths[split] = root / f"split_{split}.nc"
        with netCDF4.Dataset(paths[split], "w") as nc:
            nc.createDimension("gridcell", grid.cells)
            for name, values in (("part", part), ("lat", grid.cell_lat), ("lon", grid.cell_lon)):
                kind = "i1" if name == "part" else "f8"
                nc.createVariable(name, kind, ("gridcell",))[:] = values
    return paths


def _verdict(root: Path, grid: Grid, rng: np.random.Generator, split: Path) -> None:
    # A soil carbon that is rich in the north, and runs that approach it from above, below and nearby.
    target = 4000.0 + 150.0 * np.abs(grid.cell_lat) + 1500.0 * rng.random(grid.cells)
    runs = {}
    for name, start, tau, first, last in (
        ("injected", 1.01, 60.0, 20, 120),
        ("control", 0.4, 150.0, 20, 120),
        ("reference", 0.5, 120.0, 400, 1200),
    ):
        bounds = years(first, last, 20 if name == "reference" else 1)
        left = np.exp(-(bounds.mean(axis=1) - first) / tau)[:, None]
        soil = target * (1.0 + (start - 1.0) * left + 0.002 * rng.standard_normal(grid.cells))
        vegetation = 0.35 * target * (1.0 + 0.3 * (start - 1.0) * left)
        # Water repeats with the forcing, as where it does not depend on carbon.
        water = 900.0 + bounds[:, :1] % 20 + np.zeros(grid.cells)
        fields = {
            "TWS": water,
            "TOTSOMC": soil,
            "TOTVEGC": vegetation,
            "TOTECOSYSC": 1.1 * (soil + vegetation),
            "CWDC": 0.05 * vegetation,
        }
        runs[name] = [write_history(root / f"{name}.nc", grid, bounds, fields)]
    verdict_of_runs(
        runs,
        20,
        EquilibriumSettings(),
        root / "equilibrium" / "verdict.json",
        root / "equilibrium" / "drift.nc",
        split=split,
    )


def _restart(path: Path, grid: Grid) -> Path:
    """One column per cell under two PFTs and bare ground, the same carbon per volume in all layers."""
    path.parent.mkdir()
    cells = np.arange(grid.cells)
    pfts = (0, 4, 14)
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("gridcell", 1), ("column", 1), ("pft", len(pfts))):
            nc.createDimension(name, size * grid.cells)
        nc.createDimension("levgrnd", 15)
        for name, dim, values in (
            ("grid1d_lat", "gridcell", grid.cell_lat),
            ("grid1d_lon", "gridcell", grid.cell_lon),
            ("cols1d_ityplun", "column", np.ones(grid.cells, dtype=int)),
            ("cols1d_ityp", "column", np.ones(grid.cells, dtype=int)),
            ("cols1d_gridcell_index", "column", cells + 1),
            ("cols1d_wtxy", "column", np.ones(grid.cells)),
            ("pfts1d_column_index", "pft", np.repeat(cells, len(pfts)) + 1),
            ("pfts1d_itypveg", "pft", np.tile(pfts, grid.cells)),
            ("pfts1d_wtcol", "pft", np.tile([0.2, 0.5, 0.3], grid.cells)),
        ):
            nc.createVariable(name, values.dtype, (dim,))[:] = values
        for pool in ("soil1", "soil2", "soil3", "soil4"):
            nc.createVariable(f"{pool}c_vr", "f8", ("column", "levgrnd"))[:] = 1000.0
    return path


def _predictions(path: Path, grid: Grid, rng: np.random.Generator, split: Path) -> Path:
    score = rng.gamma(4.0, 0.2, grid.cells)
    with netCDF4.Dataset(split) as nc:
        part = np.asarray(nc["part"][:])
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("gridcell", grid.cells)
        nc.ood_threshold = float(np.quantile(score, 0.98))
        for name, values in (
            ("lat", grid.cell_lat),
            ("lon", grid.cell_lon),
            ("ood_score", score),
            ("split_part", part),
            ("ood_flag", (score > nc.ood_threshold).astype(np.int8)),
        ):
            nc.createVariable(name, values.dtype, ("gridcell",))[:] = values
    return path


def _test(path: Path, grid: Grid, rng: np.random.Generator, split: Path, paper: bool) -> Path:
    with netCDF4.Dataset(split) as nc:
        cell = np.flatnonzero(nc["part"][:] == 3)
    truth, mask, dims = {}, {}, {}
    for target in (*PATCH, *LAYER):
        width = 17 if target in PATCH else 10
        truth[target] = np.exp(rng.normal(0.5 if target == "tlai" else 6.0, 1.0, (len(cell), width)))
        mask[target] = rng.random((len(cell), width)) < (0.4 if target in PATCH else 1.1)
        dims[target] = "natpft" if target in PATCH else "levdecomp"
        if target in PATCH:
            mask[target][:, 0] = False
    write_test_file(
        path,
        cell=cell,
        lat=grid.cell_lat[cell],
        lon=grid.cell_lon[cell],
        truth=truth,
        mask=mask,
        predictions={
            model: {t: v * np.exp(error * rng.standard_normal(v.shape)) for t, v in truth.items()}
            for model, error in ERROR.items()
            if paper or model != "paper"
        },
        dims=dims,
        units={**PATCH, **LAYER},
    )
    return path


def _diff(path: Path) -> Path:
    write_json(
        path,
        {
            "base": {"path": "landmodel/ad/ad.elm.r.0021-01-01-00000.nc", "sha256": "b" * 64},
            "variables_changed": {
                "soil4c_vr": {
                    "before": 10.0,
                    "after": 400.0,
                    "units": "PgC",
                    "kind": "global stock",
                    "count": 7000,
                },
                "spinup_state": {"before": 1, "after": 0, "units": "1", "kind": "flag", "count": 1},
            },
            "clipped": {"leafc kept: evergreen or dead": 3},
            "audit": {"errors": 0, "notes": 2, "findings": []},
        },
    )
    return path


def _training(path: Path, rng: np.random.Generator) -> Path:
    epochs = np.arange(1, 61)
    train = np.exp(-epochs / 20.0) + 0.05
    validation = (
        np.exp(-epochs / 22.0) + 0.07 + 0.01 * rng.random(60) + 1e-5 * np.maximum(0, epochs - 45) ** 2
    )
    lines = ["epoch,learning_rate,train_loss,validation_loss,seconds"]
    lines += [f"{e},0.001,{t},{v},0.5" for e, t, v in zip(epochs, train, validation, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _benchmarks(directory: Path) -> Path:
    directory.mkdir()
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for stage, seconds in SECONDS.items():
        cpu = "-" if stage == "judge_equilibrium" else 1.5 * seconds
        (directory / f"{stage}.tsv").write_text(
            head + f"{seconds}\t0:00:00\t1\t1\t1\t1\t0\t0\t100\t{cpu}\n", encoding="utf-8"
        )
    return directory


def _cleaning(path: Path, grid: Grid) -> Path:
    reason = {
        "cells": 2,
        "meaning": "scalaravg_col at the end of AD just above ELM's switch",
        "variables": {},
    }
    write_json(
        path,
        {
            "cells": grid.cells,
            "complete": grid.cells,
            "trainable": grid.cells - 2,
            "inputs": {"no_soil_column": {"cells": 0, "meaning": "none", "variables": {}}},
            "labels": {"label_scalaravg": reason},
        },
    )
    return path
