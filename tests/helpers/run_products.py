"""The products of a whole run, synthetic: what summary and report are made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from phase_lib.base.files import write_json
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.equilibrium.verdict import judge_equilibrium
from phase_lib.landmodel.backends.embedded import Embedded
from phase_lib.report.products import RunFacts, RunProducts
from phase_lib.surrogate.predictor import Predictions
from phase_lib.surrogate.skill import Model, write_test_file
from tests.helpers.history import Grid, write_correction, write_history, years

PATCH = {"deadcrootc": "gC/m^2", "deadstemc": "gC/m^2", "tlai": "m^2/m^2", "leafc": "gC/m^2"}
LAYER = {"soil3c_vr": "gC/m^3", "soil4c_vr": "gC/m^3", "cwdc_vr": "gC/m^3"}
#: Scatter of the natural logarithm of each model's predictions.
ERROR = {"phase": 0.1, "paper": 0.2, "state20": 0.9, "analogue": 0.5}
LABEL = {"phase": "PHASE", "paper": "PHASE, paper preset", "state20": "input state", "analogue": "analogue"}
SECONDS = {
    "check_inputs": 1.0,
    "make_world": 20.0,
    "reduce_forcing-embedded-all-1901-1920": 8.0,
    "run_ad_0021": 10.0,
    "run_ad_0401": 100.0,
    "run_reference_1201": 200.0,
    "fuse_records-embedded-1": 4.0,
    "join_records": 0.5,
    "train_surrogate-block": 60.0,
    "train_surrogate-random": 61.0,
    "run_control_0121": 25.0,
    "run_injected_0121": 26.0,
    "judge_equilibrium": 2.0,
}
#: Stages of a run whose target's land-model output was given.
ARCHIVE_SECONDS = {
    **{
        stage: seconds
        for stage, seconds in SECONDS.items()
        if stage[:11] not in ("run_control", "run_injecte")
    },
    "reduce_forcing-my-sites-all-1980-1999": 3.0,
    "fuse_records-my-sites-1": 2.0,
    "inject_restart": 1.5,
}
del ARCHIVE_SECONDS["judge_equilibrium"]


#: Stages that are no part of the accelerated spin-up.
ROLES = {
    "check_inputs": "verification",
    "make_world": "inputs",
    "run_ad_0401": "labels",
    "run_reference_1201": "labels",
    "train_surrogate-random": "verification",
    "run_control_0121": "verification",
    "judge_equilibrium": "verification",
}
#: Those that only serve training where the target is another domain.
FOR_LABELS = ("reduce_forcing-embedded-all-1901-1920", "run_ad_0021", "fuse_records-embedded-1")
#: Model years of the conventional spin-up.
YEARS = {"run_ad_0021": 20, "run_ad_0401": 380, "run_reference_1201": 800}

#: Carbon of the base and of the injected restart, PgC.
STOCKS = {"totsomc": (0.012, 0.25), "totvegc": (0.05, 0.08), "cwdc_vr": (0.001, 0.009)}


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
    world = _Cells.from_grid(grid)
    splits = _splits(root, world, rng)
    _verdict(root, grid, rng, splits["block"])
    products = RunProducts(
        dataset=_dataset(root / "dataset", {"embedded": world}),
        verdict=root / "equilibrium" / "verdict.json",
        drift=root / "equilibrium" / "drift.nc",
        predictions=_predictions(root / "predictions.nc", world, rng, _part(splits["block"])),
        restart=_restart(root / "restart" / "ad.elm.r.0021-01-01-00000.nc", world),
        diff=_diff(root / "diff.json"),
        audit=_audit(root / "audit.json"),
        correction_audits={"injected": [_audit(root / "corrected.audit.json", date="0061-01-01")]},
        splits=splits,
        tests=_tests(root, world, splits, paper),
        training={split: _training(root / f"{split}.csv", rng) for split in splits},
        benchmarks=_benchmarks(root / "benchmarks", SECONDS),
        stages=_stages(root / "stages.json", SECONDS, run_here=True),
    )
    return products, _facts(root, "embedded")


def synthetic_archive_run(
    root: Path, grid: Grid, lat: np.ndarray, lon: np.ndarray, seed: int = 0, *, flagged: float = 0.25
) -> tuple[RunProducts, RunFacts]:
    """Writes every product of a run that ends at the injected restart of `my-sites`.

    Args:
        root: directory.
        grid: cells of the embedded world, which are trained on.
        lat, lon: of the target's cells (gridcell), degrees; the last one's inputs are not complete.
        seed: of the numbers.
        flagged: share of the cells beyond the threshold.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    world = _Cells.from_grid(grid)
    sites = _Cells(lat, lon, np.linspace(1000.0, 2000.0, len(lat)), np.full(len(lat), 0.9))
    complete = np.arange(len(lat)) < len(lat) - 1
    splits = _splits(root, world, rng, more=sites)
    none = np.zeros(len(lat), dtype=np.int8)
    products = RunProducts(
        dataset=_dataset(root / "dataset", {"embedded": world, "my-sites": sites}, complete),
        predictions=_predictions(root / "predictions.nc", sites, rng, none, complete, 1.0 - flagged),
        restart=_restart(root / "restart" / "ad20.elm.r.0021-01-01-00000.nc", sites, rng),
        diff=_diff(root / "diff.json"),
        audit=_audit(root / "audit.json"),
        splits=splits,
        tests=_tests(root, world, splits, paper=True),
        training={split: _training(root / f"{split}.csv", rng) for split in splits},
        benchmarks=_benchmarks(root / "benchmarks", ARCHIVE_SECONDS),
        stages=_stages(root / "stages.json", ARCHIVE_SECONDS, run_here=False),
    )
    return products, _facts(root, "my-sites")


def _facts(root: Path, target: str) -> RunFacts:
    return RunFacts(
        name="synthetic",
        config_hash="0123456789abcdef",
        directory=root,
        cores=2,
        target=target,
        training=("embedded",),
        forcing_years=20,
        input_years=20,
        ad_years=400,
        stabilisation_years=100,
        conventional_years=1200,
        ood_action="keep",
        labelled_here=("embedded",),
        label_years=1200,
        limits=Embedded.limits if target == "embedded" else Embedded.limits_of_learning,
        windows=(20, 40),
        files={"surface": "/data/surf.nc", "params": "/data/params.nc", "soil_params": "/data/CNP.nc"},
    )


@dataclass(frozen=True)
class _Cells:
    """Land cells of a domain: degrees, km2 and share of land (gridcell)."""

    lat: np.ndarray
    lon: np.ndarray
    area: np.ndarray
    landfrac: np.ndarray

    @classmethod
    def from_grid(cls, grid: Grid) -> _Cells:
        return cls(grid.cell_lat, grid.cell_lon, grid.area[grid.land], grid.landfrac[grid.land])

    def __len__(self) -> int:
        return len(self.lat)


def _dataset(directory: Path, domains: dict[str, _Cells], complete: np.ndarray | None = None) -> Path:
    """Index and cleaning report; `complete` is that of the last domain (gridcell), the others are whole."""
    directory.mkdir()
    sizes = [len(cells) for cells in domains.values()]
    total = sum(sizes)
    whole = np.ones(total, dtype=bool)
    if complete is not None:
        whole[-len(complete) :] = complete
    domain = np.repeat(np.arange(len(domains)), sizes)
    missed = {"source": None, "missed": "the history has no T_SCALAR and 2 more"}
    start = dict.fromkeys(domains, missed)
    columns = {
        "cell": np.concatenate([np.arange(size) for size in sizes]),
        "lat": np.concatenate([cells.lat for cells in domains.values()]),
        "lon": np.concatenate([cells.lon for cells in domains.values()]),
        "area_km2": np.concatenate([cells.area for cells in domains.values()]),
        "landfrac": np.concatenate([cells.landfrac for cells in domains.values()]),
        "complete": whole.astype(np.int8),
        "trainable": (domain == 0).astype(np.int8),
        "domain": domain,
        "record_file": np.zeros(total, dtype=np.int32),
    }
    with netCDF4.Dataset(directory / "cells.nc", "w") as nc:
        nc.createDimension("gridcell", total)
        nc.createDimension("natpft", 17)
        for name, values in columns.items():
            nc.createVariable(name, values.dtype, ("gridcell",))[:] = values
        nc.createVariable("cover", "f8", ("gridcell", "natpft"))[:] = 1.0 / 17.0
        nc.domains = json.dumps(list(domains))
        nc.forcing = json.dumps({name: {} for name in domains})
        nc.semi_analytic = json.dumps(start)
        nc.turnover = json.dumps({name: [] for name in domains})
        nc.record_files = json.dumps([["records_0000.nc", "synthetic"]])
        nc.dataset_id = "synthetic"
    reason = {
        "cells": 2,
        "meaning": "scalaravg_col at the end of AD just above ELM's switch",
        "variables": {},
    }
    missing = {
        "cells": int(np.sum(~whole)),
        "meaning": "fill or NaN in the surface data",
        "variables": {"SLOPE": int(np.sum(~whole))},
    }
    write_json(
        directory / "cleaning.json",
        {
            "cells": total,
            "complete": int(whole.sum()),
            "trainable": sizes[0] - 2,
            "inputs": {"static_missing": missing},
            "labels": {"label_scalaravg": reason},
            "semi_analytic": start,
        },
    )
    return directory


def _splits(
    root: Path, cells: _Cells, rng: np.random.Generator, more: _Cells | None = None
) -> dict[str, Path]:
    """Splits of the cells; those of another domain, `more`, come after them and are in no part."""
    tile = (np.floor(cells.lat / 15) * 100 + np.floor(cells.lon / 15)).astype(int)
    tiles = np.unique(tile)
    chosen = rng.permutation(tiles)[: max(1, len(tiles) // 5)]
    parts = {
        "random": np.where(rng.random(len(cells)) < 0.2, 3, 1),
        "block": np.where(np.isin(tile, chosen), 3, 1),
    }
    paths = {}
    for split, part in parts.items():
        part[rng.random(len(cells)) < 0.08] = 2
        part[-1] = 3
        lat, lon = cells.lat, cells.lon
        if more is not None:
            part = np.append(part, np.zeros(len(more), dtype=int))
            lat, lon = np.append(lat, more.lat), np.append(lon, more.lon)
        paths[split] = root / f"split_{split}.nc"
        with netCDF4.Dataset(paths[split], "w") as nc:
            nc.createDimension("gridcell", len(part))
            for name, values in (("part", part), ("lat", lat), ("lon", lon)):
                kind = "i1" if name == "part" else "f8"
                nc.createVariable(name, kind, ("gridcell",))[:] = values
    return paths


def _part(split: Path) -> np.ndarray:
    with netCDF4.Dataset(split) as nc:
        return np.asarray(nc["part"][:])


def _verdict(root: Path, grid: Grid, rng: np.random.Generator, split: Path) -> None:
    # A soil carbon that is rich in the north, and runs that approach it from above, below and nearby.
    target = 4000.0 + 150.0 * np.abs(grid.cell_lat) + 1500.0 * rng.random(grid.cells)
    runs = {}
    for name, start, tau, first, last in (
        ("injected", 1.01, 60.0, 20, 120),
        ("control", 0.4, 150.0, 20, 120),
        ("no_surrogate", 0.7, 90.0, 20, 120),
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
    judge_equilibrium(
        runs.pop("injected"),
        20,
        EquilibriumSettings(),
        root / "equilibrium" / "verdict.json",
        drift=root / "equilibrium" / "drift.nc",
        split=split,
        runs=runs,
        corrections={"injected": [write_correction(root / "correction.nc", 61.0)]},
    )


def _restart(path: Path, cells: _Cells, rng: np.random.Generator | None = None) -> Path:
    """One column per cell under two PFTs and bare ground, the same carbon per volume in all layers.

    Args:
        path: file to write.
        cells: land cells.
        rng: where given, soil and vegetation differ from cell to cell.
    """
    path.parent.mkdir()
    rows = np.arange(len(cells))
    pfts = (0, 4, 14)
    spread = np.ones(len(cells)) if rng is None else np.exp(0.8 * rng.standard_normal(len(cells)))
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("gridcell", 1), ("column", 1), ("pft", len(pfts))):
            nc.createDimension(name, size * len(cells))
        nc.createDimension("levgrnd", 15)
        nc.createVariable("timemgr_rst_curr_ymd", "i4")[...] = 210101
        for name, dim, values in (
            ("grid1d_lat", "gridcell", cells.lat),
            ("grid1d_lon", "gridcell", cells.lon),
            ("cols1d_ityplun", "column", np.ones(len(cells), dtype=int)),
            ("cols1d_ityp", "column", np.ones(len(cells), dtype=int)),
            ("cols1d_gridcell_index", "column", rows + 1),
            ("cols1d_wtxy", "column", np.ones(len(cells))),
            ("pfts1d_column_index", "pft", np.repeat(rows, len(pfts)) + 1),
            ("pfts1d_itypveg", "pft", np.tile(pfts, len(cells))),
            ("pfts1d_wtcol", "pft", np.tile([0.2, 0.5, 0.3], len(cells))),
            ("totvegc", "pft", np.outer(spread, [0.0, 12000.0, 600.0]).ravel()),
        ):
            nc.createVariable(name, values.dtype, (dim,))[:] = values
        for pool in ("soil1", "soil2", "soil3", "soil4"):
            nc.createVariable(f"{pool}c_vr", "f8", ("column", "levgrnd"))[:] = 1000.0 * spread[:, None]
    return path


def _predictions(
    path: Path,
    cells: _Cells,
    rng: np.random.Generator,
    part: np.ndarray,
    complete: np.ndarray | None = None,
    quantile: float = 0.98,
) -> Path:
    score = rng.gamma(4.0, 0.2, len(cells))
    threshold = float(np.quantile(score, quantile)) if quantile > 0.0 else 0.9 * float(score.min())
    flag = score > threshold
    if complete is not None:
        score, flag = np.where(complete, score, np.nan), flag | ~complete
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("gridcell", len(cells))
        nc.ood_threshold, nc.trained_on = threshold, "cpu"
        for name, values in (
            ("lat", cells.lat),
            ("lon", cells.lon),
            ("ood_score", score),
            ("split_part", part),
            ("ood_flag", flag.astype(np.int8)),
        ):
            nc.createVariable(name, values.dtype, ("gridcell",))[:] = values
    return path


def _tests(root: Path, cells: _Cells, splits: dict[str, Path], paper: bool) -> dict[str, list[Path]]:
    """The run's own test file of each split, and beside it that of the experiment `paper`."""
    tests: dict[str, list[Path]] = {}
    for seed, (split, path) in enumerate(splits.items()):
        cell = np.flatnonzero(_part(path) == 3)
        files = {f"test_{split}.nc": ["phase", "state20", "analogue"]}
        files |= {f"paper_{split}.nc": ["paper"]} if paper else {}
        tests[split] = [
            _test(root / name, split, cell, cells, seed, models) for name, models in files.items()
        ]
    return tests


def _test(path: Path, split: str, cell: np.ndarray, cells: _Cells, seed: int, names: list[str]) -> Path:
    rng = np.random.default_rng(seed)
    truth = {}
    for target in (*PATCH, *LAYER):
        width = 17 if target in PATCH else 10
        truth[target] = np.exp(rng.normal(0.5 if target == "tlai" else 6.0, 1.0, (len(cell), width)))
    covered = rng.random((len(cell), 17)) < 0.4
    covered[:, 0] = False
    settings = {name: {} if name in ("state20", "analogue") else {"seed": 1} for name in names}
    write_test_file(
        path,
        cell=cell,
        lat=cells.lat[cell],
        lon=cells.lon[cell],
        covered=covered,
        truth=truth,
        units={**PATCH, **LAYER},
        models=[Model(name, LABEL[name], settings[name]) for name in names],
        predictions=[
            Predictions({t: v * np.exp(ERROR[name] * rng.standard_normal(v.shape)) for t, v in truth.items()})
            for name in names
        ],
        attributes={"split": split, "dataset_id": "synthetic"},
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
                **{
                    name: {
                        "before": before,
                        "after": after,
                        "units": "PgC",
                        "kind": "global stock",
                        "count": 700,
                    }
                    for name, (before, after) in STOCKS.items()
                },
                "spinup_state": {"before": 1, "after": 0, "units": "1", "kind": "flag", "count": 1},
            },
            "conversion": {"from_spinup_state": 1, "model_year": 21, "spinup_mortality_factor": 10.0},
            "clipped": {"leafc kept: evergreen or dead": 3},
        },
    )
    return path


def _audit(path: Path, date: str = "0021-01-01") -> Path:
    write_json(path, {"date": date, "errors": 0, "notes": 2, "findings": []})
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


def _benchmarks(directory: Path, stages: dict[str, float]) -> Path:
    directory.mkdir()
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for stage, seconds in stages.items():
        cpu = "-" if stage == "judge_equilibrium" else 1.5 * seconds
        (directory / f"{stage}.tsv").write_text(
            head + f"{seconds}\t0:00:00\t1\t1\t1\t1\t0\t0\t100\t{cpu}\n", encoding="utf-8"
        )
    return directory


def _stages(path: Path, names: Iterable[str], *, run_here: bool) -> Path:
    """The plan of a run whose target is run here, or elsewhere."""
    roles = ROLES if run_here else ROLES | dict.fromkeys(FOR_LABELS, "labels")
    stages = {
        name: {
            "rule": re.sub(r"-.*|_\d+$", "", name),
            "role": roles.get(name, "accelerated"),
            "conventional_years": YEARS.get(name, 0) if run_here else 0,
        }
        for name in names
    }
    write_json(path, {"stages": stages})
    return path
