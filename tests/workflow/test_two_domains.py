"""Learnt on a few sites, predicted for all cells: two domains with files of their own, one mesh of forcing.

The embedded run's files stand for both. The sites are 18 of its 54 cells, more than the tenth that is meant:
five cells cannot be divided for training, validation and test. They lie in another order than in the full
domain, and what their files hold is marked, so that a value of one domain is never one of the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import yaml

from tests.helpers.layouts import contents
from tests.helpers.sites import listed, restart_of_sites
from tests.workflow.conftest import SMALL, WITHOUT_PAPER, Workflow

pytestmark = pytest.mark.slow

CELLS = 54
SITES = np.random.default_rng(2).permutation(CELLS)[:18]
ALL = np.arange(CELLS)
#: What the sites' files hold more of than the full domain's: variable -> factor.
IN_SURFACE, IN_HISTORY = {"ORGANIC": 0.95}, {"GPP": 1.05}
IN_RESTART, IN_REFERENCE = {"soil3c_vr": 1.05, "cpool": 1.1}, {"soil3c_vr": 1.05}


def write_domain(directory: Path, source: Workflow, cells: np.ndarray, *, marked: bool) -> dict[str, str]:
    """Writes the files of some cells of the embedded run, each a list of these cells.

    Returns:
        What a configuration says of them; of marked ones with the reference that labels come from.
    """
    world, runs = source.results / "world", source.results / "landmodel"
    directory.mkdir()
    points = np.flatnonzero(contents(world / "domain.lnd.nc")["mask"] == 1)[cells]

    def marks(factors: dict[str, float]) -> dict[str, Any]:
        return {name: lambda old, by=by: old * by for name, by in factors.items()} if marked else {}

    def restart(path: Path, factors: dict[str, float]) -> str:
        name = f"{directory.name}_{path.name}"
        return str(restart_of_sites(path, directory / name, cells, marks(factors)))

    def history(path: Path) -> str:
        name = f"{directory.name}_{path.name}"
        return str(listed(path, directory / name, ("lat", "lon"), ("lndgrid",), points, marks(IN_HISTORY)))

    files = {
        "domain": str(
            listed(world / "domain.lnd.nc", directory / "domain.nc", ("nj", "ni"), ("nj", "ni"), points)
        ),
        "surface": str(
            listed(
                world / "surfdata.nc",
                directory / "surfdata.nc",
                ("lsmlat", "lsmlon"),
                ("gridcell",),
                points,
                marks(IN_SURFACE),
            )
        ),
        "params": str(world / "clm_params.nc"),
        "soil_params": str(world / "CNP_parameters.nc"),
        "restart": restart(runs / "ad" / "ad.elm.r.0021-01-01-00000.nc", IN_RESTART),
        "history": [history(runs / "ad" / "ad.elm.h0.0021-01-01-00000.nc")],
        "spinup_mortality_factor": 10.0,
        "forcing": {
            "files": [str(world / "forcing" / "clmforc.embedded.*.nc")],
            "product": "synthetic weather",
            "first_year": 1901,
            "limit_km": 1500.0,
        },
    }
    if marked:
        files |= {
            "reference_restart": restart(
                runs / "reference" / "reference.elm.r.0101-01-01-00000.nc", IN_REFERENCE
            ),
            "reference_history": [history(runs / "reference" / "reference.elm.h0.0101-01-01-00000.nc")],
            "reference_ad_restart": restart(runs / "ad" / "ad.elm.r.0061-01-01-00000.nc", {}),
        }
    return files


@dataclass(frozen=True)
class TwoDomains:
    """A run that learnt on `sites` and predicted `all`.

    Attributes:
        run: the workflow.
        config: its configuration.
    """

    run: Workflow
    config: dict[str, Any]

    def file(self, domain: str, key: str) -> dict[str, np.ndarray]:
        """Content of an input file."""
        path = self.config["domains"][domain][key]
        return contents(Path(path[0] if isinstance(path, list) else path))

    def product(self, name: str) -> dict[str, np.ndarray]:
        return contents(self.run.results / name)

    def records(self, domain: str) -> dict[str, np.ndarray]:
        """Records of a domain as the dataset joins them, in the order of the domain's own restart."""
        path = self.run.results / "dataset" / "cells.nc"
        index = contents(path)
        with netCDF4.Dataset(path) as d:
            batches = [self.run.results / "dataset" / name for name, _ in json.loads(d.record_files)]
            number = json.loads(d.domains).index(domain)
        numbers = sorted(set(index["record_file"][index["domain"] == number]))
        parts = [contents(batches[batch]) for batch in numbers]
        cell = np.concatenate([part["cell"] for part in parts])
        order = np.argsort(cell)
        assert cell[order].tolist() == list(range(len(cell)))
        return {
            name: np.concatenate([part[name] for part in parts])[order]
            for name in parts[0]
            if len(parts[0][name]) == len(parts[0]["cell"]) and name in parts[-1]
        }

    @property
    def restart(self) -> Path:
        return self.run.results / "restart" / "all_ad.elm.r.0021-01-01-00000.nc"


@pytest.fixture(scope="module")
def config(small_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("domains")
    return {
        "run": {"name": "two_domains"},
        "land_model": {"backend": "archive"},
        "training": {"domains": ["sites"]},
        "target": {"domain": "all"},
        "domains": {
            "sites": write_domain(directory / "sites", small_run, SITES, marked=True),
            "all": write_domain(directory / "all", small_run, ALL, marked=False),
        },
        # Nearly all of the world is unlike so few sites; their predictions are injected all the same.
        "ood": {"action": "predict"},
        "experiments": WITHOUT_PAPER,
    }


def run_of(workflow: Workflow, config: dict[str, Any], directory: Path, *words: str) -> tuple[int, str]:
    path = directory / "two_domains.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    result = workflow.snakemake(*words, configs=(SMALL, str(path)))
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def two_domains(
    small_run: Workflow, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> TwoDomains:
    status, terminal = run_of(small_run, config, tmp_path_factory.mktemp("config"))
    assert status == 0, terminal
    return TwoDomains(Workflow(small_run.root, small_run.results.with_name("two_domains"), terminal), config)


def test_every_cell_of_the_target_is_predicted_in_the_order_of_its_restart(two_domains: TwoDomains) -> None:
    predictions, base = two_domains.product("predictions/predictions.nc"), two_domains.file("all", "restart")
    np.testing.assert_allclose(predictions["lat"], base["grid1d_lat"])
    np.testing.assert_allclose(predictions["lon"] % 360.0, base["grid1d_lon"] % 360.0)
    assert predictions["predicted"].all()
    for name in ("soil3c_vr", "soil4c_vr", "cwdc_vr"):
        assert np.isfinite(predictions[name]).all()
        assert (predictions[name] >= 0.0).all()
    # Cells differ: none got another's prediction.
    assert len(np.unique(predictions["soil3c_vr"][:, 0])) == CELLS


def test_the_restart_written_is_the_target_s_and_passes_the_audit(two_domains: TwoDomains) -> None:
    assert [path.name for path in two_domains.restart.parent.glob("*.nc")] == [two_domains.restart.name]
    sidecar = json.loads(two_domains.restart.with_name(f"{two_domains.restart.name}.diff.json").read_text())
    assert sidecar["base"]["path"] == two_domains.config["domains"]["all"]["restart"]
    assert sidecar["audit"]["errors"] == 0
    new, base = contents(two_domains.restart), two_domains.file("all", "restart")
    assert int(new["spinup_state"]) == 0
    assert len(new["grid1d_lat"]) == CELLS
    for name, values in base.items():
        if name not in sidecar["variables_changed"]:
            assert new[name].tobytes() == values.tobytes(), name
    files = two_domains.config["domains"]["all"]
    audit = two_domains.run.phase(
        "audit", two_domains.restart, "--surface", files["surface"], "--params", files["params"]
    )
    assert audit.returncode == 0, audit.stdout


def test_each_cell_of_the_restart_holds_its_own_prediction(two_domains: TwoDomains) -> None:
    new, predictions = contents(two_domains.restart), two_domains.product("predictions/predictions.nc")
    soil = np.flatnonzero(new["cols1d_ityplun"] == 1)
    cell = new["cols1d_gridcell_index"][soil] - 1
    np.testing.assert_allclose(new["soil3c_vr"][soil, :10], predictions["soil3c_vr"][cell], rtol=1e-6)
    wood = np.flatnonzero((new["pfts1d_wtcol"] > 0.0) & np.isin(new["pfts1d_itypveg"], np.arange(1, 12)))
    place = new["pfts1d_gridcell_index"][wood] - 1, new["pfts1d_itypveg"][wood]
    np.testing.assert_allclose(new["deadstemc"][wood], predictions["deadstemc"][place], rtol=1e-6)


@pytest.mark.parametrize("domain", ["sites", "all"])
def test_records_hold_what_the_domain_s_own_files_hold(two_domains: TwoDomains, domain: str) -> None:
    records, restart = two_domains.records(domain), two_domains.file(domain, "restart")
    soil = np.flatnonzero(restart["cols1d_ityplun"] == 1)
    column = soil[np.argsort(restart["cols1d_gridcell_index"][soil])]
    np.testing.assert_allclose(records["soil3c_vr"], restart["soil3c_vr"][column, :10], rtol=1e-6)
    surface = two_domains.file(domain, "surface")
    np.testing.assert_allclose(records["ORGANIC"], surface["ORGANIC"].T, rtol=1e-6)
    gpp = two_domains.file(domain, "history")["GPP"].mean(axis=0) * 365.0 * 86400.0
    np.testing.assert_allclose(records["GPP"], gpp, rtol=1e-6)


def test_a_cell_of_both_domains_has_the_weather_in_common_and_nothing_else(two_domains: TwoDomains) -> None:
    sites, everything = two_domains.records("sites"), two_domains.records("all")
    np.testing.assert_allclose(sites["lat"], everything["lat"][SITES])
    np.testing.assert_array_equal(sites["TBOT"], everything["TBOT"][SITES])
    for name, factor in {**IN_SURFACE, **IN_HISTORY, **IN_RESTART}.items():
        np.testing.assert_allclose(sites[name], factor * everything[name][SITES], rtol=1e-6)
    np.testing.assert_array_equal(sites["leafc"], everything["leafc"][SITES])


@pytest.mark.parametrize("split", ["random", "block"])
def test_only_sites_are_trained_and_tested_on(two_domains: TwoDomains, split: str) -> None:
    index, parts = two_domains.product("dataset/cells.nc"), two_domains.product(f"dataset/split_{split}.nc")
    domain = np.repeat([0, 1], [len(SITES), CELLS])
    assert index["domain"].tolist() == domain.tolist()
    # 0 is neither trained nor tested on.
    assert (parts["part"][domain == 1] == 0).all()
    assert (parts["part"][domain == 0] > 0).all()
    assert len(two_domains.product(f"predictions/test_{split}.nc")["lat"]) == np.sum(parts["part"] == 3)


@pytest.mark.parametrize("split", ["random", "block"])
def test_features_and_labels_are_scaled_by_the_training_sites_alone(
    two_domains: TwoDomains, split: str
) -> None:
    scaler = two_domains.product(f"surrogate/{split}/normalization.nc")
    parts = two_domains.product(f"dataset/split_{split}.nc")
    train = parts["cell"][parts["part"] == 1]
    assert scaler["HR_count"] == len(train)
    organic = two_domains.file("sites", "surface")["ORGANIC"].T[train]
    np.testing.assert_allclose(scaler["ORGANIC_offset"], organic.mean(), rtol=1e-6)
    np.testing.assert_allclose(scaler["ORGANIC_scale"], organic.std(), rtol=1e-6)
    labels = two_domains.file("sites", "reference_restart")
    column = np.argsort(labels["cols1d_gridcell_index"])[train]
    np.testing.assert_allclose(
        scaler["Y_soil3c_vr_offset"], labels["soil3c_vr"][column, :10].mean(axis=0), rtol=1e-6
    )


def test_the_summary_counts_training_and_target_cells(two_domains: TwoDomains) -> None:
    summary = json.loads((two_domains.run.results / "summary.json").read_text())
    assert summary["target"]["domain"] == "all"
    assert summary["target"]["trained_on"] == ["sites"]
    assert summary["domain"]["cells"] == CELLS
    sites, target = (summary["domain"]["domains"][name] for name in ("sites", "all"))
    assert (sites["cells"], sites["trained_on"] + sites["tested_on"], sites["predicted"]) == (18, 18, 0)
    assert (target["cells"], target["trained_on"], target["tested_on"], target["predicted"]) == (54, 0, 0, 54)
    assert summary["restart"]["audit_errors"] == 0


def test_what_the_check_understood_names_both_domains(two_domains: TwoDomains) -> None:
    understood = json.loads((two_domains.run.results / "preflight.json").read_text())
    facts = understood["domains"]
    assert (facts["sites"]["trains"], facts["sites"]["target"], facts["sites"]["land_cells"]) == (
        True,
        False,
        18,
    )
    assert (facts["all"]["trains"], facts["all"]["target"], facts["all"]["land_cells"]) == (False, True, 54)


def test_the_full_surface_beside_the_sites_restart_ends_the_run_in_one_line_before_any_job(
    fresh_workflow: Workflow, config: dict[str, Any], tmp_path: Path
) -> None:
    sites, everything = (config["domains"][name] for name in ("sites", "all"))
    domains = config["domains"] | {"sites": sites | {"surface": everything["surface"]}}
    status, terminal = run_of(fresh_workflow, config | {"domains": domains}, tmp_path)
    # 3: a check came out negative.
    assert status == 3, terminal
    [line] = [line for line in terminal.splitlines() if line.startswith("phase: ")]
    assert line.startswith(f"phase: {sites['restart']}: has 18 cells, all of them among the 54 of ")
    assert f"{everything['surface']}: looks like a subset of the cells mixed with the full domain" in line
    assert "Traceback" not in terminal
    assert list(fresh_workflow.results.with_name("two_domains").rglob("*.nc")) == []
