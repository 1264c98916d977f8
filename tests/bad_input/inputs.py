"""Sound inputs of every command, made once, and the command lines that read a copy of them.

A copy is small, so each test spoils its own. The functions below give the words of a command that reads
the files of such a copy; everything that it may write goes into `out` beside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.cli import main
from tests.helpers.dataset import shuffled_grid
from tests.helpers.domain_files import FIRST_YEAR, YEARS, make_domain
from tests.helpers.restarts import MORTALITY, F, make_world, raw
from tests.helpers.run_products import GlobalGrid, synthetic_run
from tests.helpers.surrogate import SMALL

Words = list[object]
RESTART = "case.elm.r.0021-01-01-00000.nc"
#: Predicted variables, and what they gain on leaving AD.
TARGETS = {
    "soil3c_vr": F["soil3"],
    "soil4c_vr": F["soil4"],
    "cwdc_vr": F["cwd"],
    "deadstemc": MORTALITY,
    "deadcrootc": MORTALITY,
    "tlai": 1.0,
}
_SETTINGS = json.dumps(SMALL | {"epochs": 1})


def phase(*words: object) -> int:
    """Runs a command in this process and returns its exit code."""
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    assert isinstance(done.value.code, int)
    return done.value.code


@dataclass(frozen=True)
class Inputs:
    """A directory of sound inputs, in folders that go together.

    Attributes:
        path: the directory. `injection` holds a restart with what belongs to it and predictions; `domain`
            the files of a domain, `fused` its records, dataset, split and model; `embedded` a world of the
            stand-in model; `report` the products of a run.
    """

    path: Path

    def copy(self, folders: tuple[str, ...], target: Path) -> Path:
        """Copies some of the folders."""
        for folder in folders:
            shutil.copytree(self.path / folder, target / folder, symlinks=True)
        return target


def make_inputs(path: Path) -> Inputs:
    """Makes all inputs, most of them by the commands themselves."""
    _injection(path / "injection")
    grid = shuffled_grid(3, 4)
    make_domain(path / "domain", grid)
    out = path / "out"
    for words, made, place in (
        (forcing(path), "monthly.nc", "domain/monthly.nc"),
        (fuse(path), "records", "fused/records"),
        (join(path), "dataset", "fused/dataset"),
        (split(path), "split.nc", "fused/split.nc"),
        (normalize(path), "normalization.nc", "fused/normalization.nc"),
        (train(path), "model", "fused/model"),
        (world(path), "world", "embedded"),
        (embedded_forcing(path), "monthly.nc", "embedded/monthly.nc"),
        (run_segment(path, cold=True), "segment/ad.elm.r.0002-01-01-00000.nc", "embedded/" + RESTART),
    ):
        assert phase(*words) == 0, words
        (path / place).parent.mkdir(exist_ok=True)
        (out / made).rename(path / place)
    shutil.rmtree(out)
    synthetic_run(
        path / "report", GlobalGrid(lat=np.arange(-45.0, 60.0, 15.0), lon=np.arange(7.5, 360.0, 15.0))
    )
    return Inputs(path)


def _injection(folder: Path) -> None:
    """A restart, what belongs to it, and predictions: its own pools as leaving AD would make them."""
    made = make_world(folder)
    pools = {name: raw(folder / RESTART, name) for name in TARGETS}
    with netCDF4.Dataset(folder / "predictions.nc", "w") as nc:
        nc.label_space = "normal"
        for name, size in (("gridcell", len(made.lat)), ("natpft", 17), ("levdecomp", 10)):
            nc.createDimension(name, size)
        nc.createVariable("lat", "f8", ("gridcell",))[:] = made.lat
        nc.createVariable("lon", "f8", ("gridcell",))[:] = made.lon
        nc.createVariable("ood_flag", "i1", ("gridcell",))[:] = 0
        for name, factor in TARGETS.items():
            layered = name.endswith("_vr")
            level, units = ("levdecomp", "gC/m^3") if layered else ("natpft", "gC/m^2")
            variable = nc.createVariable(name, "f8", ("gridcell", level))
            variable.units = "1" if name == "tlai" else units
            variable[:] = factor * (pools[name][made.column, :10] if layered else pools[name][made.patch])


def options(command: str, **values: object) -> Words:
    """Words of a command; an underscore in a name stands for a dash, a list for several values."""
    words: Words = [command]
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *several] if value is not None else []
    return words


def inject(at: Path, **changes: object) -> Words:
    folder = at / "injection"
    given: dict[str, object] = {
        "restart": folder / RESTART,
        "surface": folder / "surfdata.nc",
        "params": folder / "clm_params.nc",
        "soil_params": folder / "CNP_parameters.nc",
        "predictions": folder / "predictions.nc",
        "output": at / "out" / RESTART,
    }
    return options("inject", **given | changes)


def audit(at: Path) -> Words:
    folder = at / "injection"
    words: Words = ["audit", folder / RESTART, "--surface", folder / "surfdata.nc"]
    return [*words, "--params", folder / "clm_params.nc", "--output", at / "out" / "audit.json"]


def compare(at: Path) -> Words:
    """The restart with another file."""
    folder = at / "injection"
    return ["compare-restarts", folder / RESTART, folder / "surfdata.nc"]


def forcing(at: Path, **changes: object) -> Words:
    given: dict[str, object] = {
        "kind": "datm",
        "files": at / "domain" / "forcing" / "*.nc",
        "domain": at / "domain" / "domain.nc",
        "first_year": FIRST_YEAR,
        "years": YEARS,
        "align_year": 1,
        "product": "weather",
        "limit_km": 10,
        "output": at / "out" / "monthly.nc",
    }
    return options("forcing", **given | changes)


def compare_forcing(at: Path, **changes: object) -> Words:
    folder = at / "domain"
    given: dict[str, object] = {
        "restart": folder / "ad.elm.r.0021-01-01-00000.nc",
        "history": folder / "ad.elm.h0.0020-01-01-00000.nc",
        "forcing": folder / "monthly.nc",
        "output": at / "out" / "comparison.json",
    }
    return options("compare-forcing", **given | changes)


def fuse(at: Path, **changes: object) -> Words:
    folder = at / "domain"
    given: dict[str, object] = {
        "restart": folder / "ad.elm.r.0021-01-01-00000.nc",
        "history": folder / "ad.elm.h0.0020-01-01-00000.nc",
        "surface": folder / "surfdata.nc",
        "params": folder / "clm_params.nc",
        "forcing": folder / "monthly.nc",
        "reference_restart": folder / "final.elm.r.0801-01-01-00000.nc",
        "reference_history": folder / "final.elm.h0.0800-01-01-00000.nc",
        "reference_ad_restart": folder / "ad.elm.r.0401-01-01-00000.nc",
        "history_years": YEARS,
        "domain_name": "full",
        "settings": '{"record_cells": 5}',
        "output_dir": at / "out" / "records",
    }
    return options("fuse", **given | changes)


def join(at: Path, **changes: object) -> Words:
    given: dict[str, object] = {
        "records": ["full", at / "fused" / "records"],
        "training": "full",
        "output_dir": at / "out" / "dataset",
    }
    return options("join", **given | changes)


def split(at: Path, **changes: object) -> Words:
    given: dict[str, object] = {
        "dataset": at / "fused" / "dataset",
        "kind": "random",
        "output": at / "out" / "split.nc",
    }
    return options("split", **given | changes)


def _learning(command: str, at: Path, **more: object) -> Words:
    folder = at / "fused"
    return options(command, dataset=folder / "dataset", split=folder / "split.nc", **more)


def normalize(at: Path) -> Words:
    return _learning("normalize", at, settings=_SETTINGS, output=at / "out" / "normalization.nc")


def train(at: Path) -> Words:
    normalization = at / "fused" / "normalization.nc"
    output = at / "out" / "model"
    return _learning("train", at, normalization=normalization, settings=_SETTINGS, output_dir=output)


def predict(at: Path, **changes: object) -> Words:
    model, output = at / "fused" / "model" / "model.pt", at / "out" / "predictions.nc"
    return _learning("predict", at, **{"model": model, "output": output} | changes)


def world(at: Path, **settings: object) -> Words:
    coarse = {"cells": 12, "resolution_deg": 10, "forcing_resolution_deg": 15, "forcing_years": 1}
    return ["world", "--settings", json.dumps(coarse | settings), "--output-dir", at / "out" / "world"]


def embedded_forcing(at: Path) -> Words:
    folder = at / "embedded"
    files = {"files": folder / "forcing" / "*.nc", "domain": folder / "domain.lnd.nc"}
    return forcing(at, **files, years=1, limit_km=3000)


def run_segment(at: Path, *, cold: bool = False, **changes: object) -> Words:
    folder = at / "embedded"
    given: dict[str, object] = {
        "case": "ad",
        "mode": "ad",
        "start_year": 1 if cold else 2,
        "years": 1,
        "finidat": None if cold else folder / RESTART,
        "surface": folder / "surfdata.nc",
        "domain": folder / "domain.lnd.nc",
        "params": folder / "clm_params.nc",
        "soil_params": folder / "CNP_parameters.nc",
        "forcing": folder / "monthly.nc",
        "output_dir": at / "out" / "segment",
        "forcing_years": 1,
    }
    return options("run-segment", **given | changes)


def equilibrium(at: Path, **changes: object) -> Words:
    given: dict[str, object] = {
        "history": at / "domain" / "final.elm.h0.0800-01-01-00000.nc",
        "forcing_years": 1,
        "output": at / "out" / "verdict.json",
    }
    return options("equilibrium", **given | changes)


def check(at: Path, **changes: object) -> Words:
    """The files of a domain by themselves."""
    folder = at / "domain"
    given: dict[str, object] = {
        "restart": folder / "ad.elm.r.0021-01-01-00000.nc",
        "surface": folder / "surfdata.nc",
        "domain": folder / "domain.nc",
        "params": folder / "clm_params.nc",
        "soil_params": folder / "CNP_parameters.nc",
        "history": folder / "ad.elm.h0.0020-01-01-00000.nc",
        "forcing": folder / "forcing" / "*.nc",
        "first_year": FIRST_YEAR,
        "years": YEARS,
        "limit_km": 10,
        "product": "weather",
        "reference_restart": folder / "final.elm.r.0801-01-01-00000.nc",
        "reference_history": folder / "final.elm.h0.0800-01-01-00000.nc",
        "reference_ad_restart": folder / "ad.elm.r.0401-01-01-00000.nc",
        "report": at / "out" / "preflight.json",
    }
    return options("check", **given | changes)


def report(at: Path) -> Words:
    folder, out = at / "report", at / "out"
    words = options(
        "report",
        verdict=folder / "equilibrium" / "verdict.json",
        drift=folder / "equilibrium" / "drift.nc",
        dataset=folder / "dataset",
        predictions=folder / "predictions.nc",
        restart=folder / "restart" / "ad.elm.r.0021-01-01-00000.nc",
        diff=folder / "diff.json",
        audit=folder / "audit.json",
        benchmarks=folder / "benchmarks",
        stages=folder / "stages.json",
        summary=out / "summary.json",
        output_dir=out / "report",
    )
    for kind in ("random", "block"):
        files = {"split": f"split_{kind}.nc", "test": f"test_{kind}.nc", "training": f"{kind}.csv"}
        for option, name in files.items():
            words += [f"--{option}", kind, folder / name]
    return [*words, "--correction-audit", "injected", folder / "corrected.audit.json"]


def inspect(name: str) -> Callable[[Path], Words]:
    """Words that inspect one file of a copy."""
    return lambda at: ["inspect", at / name]


def config(at: Path, name: str = "config.yaml", **changes: Any) -> Path:
    """A configuration that trains on the files of the domain and injects them, written into the copy."""
    folder = at / "domain"
    section: dict[str, Any] = {
        "domain": str(folder / "domain.nc"),
        "surface": str(folder / "surfdata.nc"),
        "params": str(folder / "clm_params.nc"),
        "soil_params": str(folder / "CNP_parameters.nc"),
        "restart": str(folder / "ad.elm.r.0021-01-01-00000.nc"),
        "history": [str(folder / "ad.elm.h0.0020-01-01-00000.nc")],
        "spinup_mortality_factor": 10.0,
        "reference_restart": str(folder / "final.elm.r.0801-01-01-00000.nc"),
        "reference_history": [str(folder / "final.elm.h0.0800-01-01-00000.nc")],
        "reference_ad_restart": str(folder / "ad.elm.r.0401-01-01-00000.nc"),
        "forcing": {
            "kind": "datm",
            "files": [str(folder / "forcing" / "*.nc")],
            "product": "weather",
            "first_year": FIRST_YEAR,
            "years": YEARS,
            "limit_km": 10.0,
        },
    }
    section |= changes.pop("section", {})
    content: dict[str, Any] = {
        "run": {"name": "run", "results_dir": str(at / "out")},
        "land_model": {"backend": "archive"},
        "training": {"domains": ["full"]},
        "target": {"domain": "full"},
        "domains": {"full": {key: value for key, value in section.items() if value is not None}},
    }
    path = at / name
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path
