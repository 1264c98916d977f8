"""The walks of docs/contributing.md: the examples of the page are written into a package, and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from phase_lib.base.provenance import code_hash
from phase_lib.config.equilibrium import EquilibriumSettings
from phase_lib.config.experiments import BASELINES
from phase_lib.config.surrogate import NETWORKS
from phase_lib.dataset.split import read_split
from phase_lib.elm import variables
from phase_lib.elm.audit import cover, run, table
from phase_lib.elm.domain import read_domain
from phase_lib.equilibrium import criteria
from phase_lib.forcing.reduce import reduce_forcing
from phase_lib.surrogate.skill import read_tests
from tests.helpers import walks
from tests.helpers.dataset import shuffled_grid
from tests.helpers.domain_files import make_domain, write_history
from tests.helpers.restarts import edit, make_world
from tests.helpers.surrogate import SMALL, make_values, write_dataset, write_split
from tests.test_layers import FLOORS

ROOT = Path(__file__).parents[1]
#: Commands one after the other in one process, each as a list of words.
COMMANDS = """
import json, sys
from phase_lib.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the package of the page, on the path of this process and of others."""
    site = tmp_path_factory.mktemp("site")
    walks.install(site)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", f"{site}{os.pathsep}{ROOT}")
        yield site


def started(*words: object, directory: Path = ROOT) -> str:
    """What a Python process prints that has to end well."""
    command = [sys.executable, *map(str, words)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def phase(*commands: tuple[object, ...]) -> None:
    started("-c", COMMANDS, json.dumps([[*map(str, words)] for words in commands]))


def test_a_network_and_a_baseline_are_trained_and_scored_beside_those_of_the_library(
    toys: Path, tmp_path: Path
) -> None:
    values = make_values(40)
    dataset = write_dataset(tmp_path / "dataset", values)
    split, model, normalization = write_split(dataset), tmp_path / "model.pt", tmp_path / "normalization.nc"
    network = walks.settings("network.yaml")["surrogate"]["network"]
    baselines = walks.settings("baseline.yaml")["experiments"]["baselines"]
    settings = json.dumps({**SMALL, "epochs": 2, "network": network})
    given = ("--dataset", dataset, "--split", split)
    scaled = ("--normalization", normalization, "--settings", settings, "--output-dir", tmp_path)
    named, test = ("--name", "phase", "--baseline", *baselines), tmp_path / "test.nc"
    phase(
        ("normalize", *given, "--settings", settings, "--output", normalization),
        ("train", *given, *scaled),
        ("predict", *given, "--model", model, "--output", tmp_path / "predictions.nc"),
        ("predict-test", *given, "--model", model, *named, "--output", test),
    )
    tests = read_tests([test])
    assert {name: entry.label for name, entry in tests.models.items()} == {
        "phase": "linear",
        "state20": "input state",
        "training_mean": "mean of the training cells",
    }
    assert tests.models["phase"].settings["network"] == network
    parts, cells = read_split(split), tests.variable("soil4c_vr")
    mean = values["Y_soil4c_vr"][parts.train | parts.validation].mean(axis=0)
    expected = np.broadcast_to(mean, cells.truth.shape)
    np.testing.assert_allclose(cells.predictions["training_mean"], expected)
    error = np.sqrt(np.mean((expected - cells.truth) ** 2))
    assert tests.skill()["training_mean"]["soil4c"]["rmse"] == pytest.approx(error)


def test_their_entry_points_stand_for_the_same_classes(toys: Path) -> None:
    assert NETWORKS.place("linear") == NETWORKS.place("toys.network:Linear")
    assert BASELINES.place("mean") == BASELINES.place("toys.baseline:TrainingMean")


def test_the_code_of_another_package_counts_in_the_hash_of_a_training(toys: Path) -> None:
    before = code_hash("surrogate/training", "toys.baseline")
    assert before != code_hash("surrogate/training")
    assert before != code_hash("surrogate/training", "toys.network")


def test_the_spin_up_with_a_land_model_of_another_package_is_planned_and_begun(
    toys: Path, tmp_path: Path
) -> None:
    files = make_domain(tmp_path / "files", shuffled_grid())
    template = write_history(tmp_path / "h0.nc", files.grid, first=1, years=1)
    section = files.section()
    sites = {name: section[name] for name in ("domain", "surface", "params", "soil_params", "forcing")}
    config: dict[str, Any] = walks.settings("land_model.yaml")
    config["toy"] |= {"restart": str(files.restart), "history": str(template), "loss": 0.5}
    config |= {
        "run": {"name": "walk"},
        "spinup": {"ad_years": 40, "normal_years": 20},
        "domains": {"sites": sites},
        "training": {"domains": ["sites"]},
        "target": {"domain": "sites"},
        "experiments": {"variants": {"paper": None}},
    }
    (tmp_path / "walk.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    workflow = ("-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path)
    workflow += ("--configfile", ROOT / "workflow_config.yaml", tmp_path / "walk.yaml")
    planned = started(*workflow, "--dry-run", "--quiet", "host", directory=tmp_path)
    assert {"run_ad_0021", "run_ad_0041", "run_reference_0061", "run_control_0061", "run_injected_0061",
            "judge_equilibrium"} <= set(re.findall(r"^(\w+) +\d+$", planned, re.MULTILINE))  # fmt: skip
    directory = tmp_path / "results" / "walk" / "landmodel" / "ad"
    restart = directory / "ad.elm.r.0021-01-01-00000.nc"
    started(*workflow, "--", restart.relative_to(tmp_path), directory=tmp_path)
    with netCDF4.Dataset(restart) as new, netCDF4.Dataset(files.restart) as old:
        assert (int(new["timemgr_rst_curr_ymd"][...]), int(new["spinup_state"][...])) == (210101, 1)
        np.testing.assert_allclose(new["soil3c_vr"][...], 0.5**20 * old["soil3c_vr"][...])
        np.testing.assert_array_equal(new["soil4c_vr"][...], old["soil4c_vr"][...])
    cycles, years = sorted(directory.glob("*.h0.*.nc")), sorted(directory.glob("*.h1.*.nc"))
    assert (len(cycles), len(years)) == (10, 10)  # a file for each forcing cycle of two years
    with netCDF4.Dataset(cycles[-1]) as means, netCDF4.Dataset(years[-1]) as annual:
        np.testing.assert_array_equal(means["time_bounds"][:], [[18 * 365, 20 * 365]])
        np.testing.assert_array_equal(annual["time"][:], [19 * 365, 20 * 365])


def test_a_forcing_layout_of_another_package_is_reduced_to_what_it_holds(toys: Path, tmp_path: Path) -> None:
    files = make_domain(tmp_path / "files", shuffled_grid())
    cells = read_domain(files.domain)
    months = pd.date_range("1900-01-01", periods=36, freq="MS") + pd.Timedelta(days=14)
    warmth = 280.0 + np.arange(36.0)[:, None] % 12 + 0.1 * np.arange(cells.ncells)
    means = xr.Dataset(
        {"TBOT": (("time", "point"), warmth[:, ::-1])},
        {"time": months, "lat": ("point", cells.lat[::-1]), "lon": ("point", cells.lon[::-1])},
    )
    means.to_netcdf(tmp_path / "means.nc")
    kind = walks.settings("forcing.yaml")["kind"]
    years = {"first_year": 1901, "years": 2, "limit_km": 1.0, "variables": ["TBOT"]}
    reduce_forcing([tmp_path / "means.nc"], cells, tmp_path / "monthly.nc", kind=kind, **years)
    with xr.open_dataset(tmp_path / "monthly.nc") as piece:
        np.testing.assert_allclose(piece.TBOT, warmth[12:].T, rtol=1e-6)
        assert piece.attrs["kind"] == kind


def test_a_variable_of_the_registry_is_one_entry() -> None:
    here = dict(vars(variables))
    exec(f"def added():\n{indent(walks.example('phase_lib/elm/variables.py: in _others()'), '    ')}", here)
    (entry,) = here["added"]()
    assert (entry.name, entry.dims, entry.least, entry.most) == ("days_active", ("pft",), 0.0, 2.0e4)
    assert entry.is_input
    assert not entry.is_target


def test_a_criterion_is_a_line_with_a_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = dict(vars(criteria))
    for table_name in ("FIELDS", "RULES"):
        added = eval(walks.example(f"phase_lib/equilibrium/criteria.py: in {table_name}"), here)
        monkeypatch.setattr(criteria, table_name, (*here[table_name], added))
    settings = indent(walks.example("phase_lib/config/equilibrium.py: in EquilibriumSettings"), "    ")
    in_config: dict[str, Any] = {"EquilibriumSettings": EquilibriumSettings}
    exec(f"from pydantic import Field\nclass More(EquilibriumSettings):\n{settings}", in_config)
    history = write_history(tmp_path / "h0.nc", shuffled_grid(), first=1, years=4)
    verdict = criteria.assess([history], 2, in_config["More"]())
    assert verdict.not_assessed["relative_drift_totlitc"] == "the history has no TOTLITC"
    with netCDF4.Dataset(history, "r+") as nc:
        litter = nc.createVariable("TOTLITC", "f4", nc["TOTSOMC"].dimensions)
        litter.units = "gC/m^2"
        litter[:] = np.array([100.0, 100.0, 104.0, 104.0])[:, None]
    verdict = criteria.assess([history], 2, in_config["More"]())
    # 4 gC/m2 in the two years from one cycle to the next, of 104.
    assert verdict.value("relative_drift_totlitc") == pytest.approx(100.0 * 100.0 * 2.0 / 104.0)
    assert not verdict.in_equilibrium


def test_a_check_of_the_audit_is_a_function_with_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = dict(vars(cover))
    exec(walks.example("phase_lib/elm/audit/cover.py"), here)
    monkeypatch.setattr(run, "CHECKS", (*table.CHECKS, here["weight_tiny"]))
    world = make_world(tmp_path)
    assert "weight-tiny" not in {note.code for note in run.audit_restart(world.restart).notes}
    without_cover = int(world.patch[world.cover == 0.0][0])
    edit(world.restart, "pfts1d_wtcol", without_cover, 1.0e-7)
    assert "weight-tiny" in {note.code for note in run.audit_restart(world.restart).notes}


def test_the_page_has_the_rooms_in_their_order() -> None:
    order = walks.PAGE.read_text(encoding="utf-8").split("## Order of the rooms")[1].split("\n## ")[0]
    rows = [
        re.findall(r"`(\w+)`", line.split("|")[1]) for line in order.splitlines() if line.startswith("| `")
    ]
    assert [set(rooms) for rooms in rows] == list(FLOORS)
