"""Real ELM output in, a restart for real ELM out: trained on the embedded world, predicted for real cells."""

from __future__ import annotations

import json
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml

from tests.workflow.conftest import ROOT, SMALL, WITHOUT_PAPER, Workflow

pytestmark = pytest.mark.slow

EXAMPLE = "examples/real_elm_sites.yaml"
RESTART = "ad20.elm.r.0021-01-01-00000.nc"
#: Cells of the sample, 0-based.
SAHARA, GREATLAKES, GREENLAND = 21, 22, 23


def read(path: Path, *names: str) -> list[np.ndarray]:
    with netCDF4.Dataset(path) as dataset:
        dataset.set_auto_maskandscale(False)
        return [np.asarray(dataset[name][...]) for name in names]


@pytest.fixture(scope="module")
def overlay(elm_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's domains on top of the small run, whose embedded part is there already."""
    text = (
        (ROOT / EXAMPLE).read_text(encoding="utf-8").replace("$PHASE_ELM_SAMPLE", str(elm_sample.absolute()))
    )
    content = yaml.safe_load(text)
    del content["run"]
    content["experiments"] = WITHOUT_PAPER
    path = tmp_path_factory.mktemp("overlay") / "sites.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sites(small_run: Workflow, overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The small run, gone on to the injected restart of the real cells."""
    workflow = small_run.clone(tmp_path_factory.mktemp("sites") / "clone")
    result = workflow.snakemake(configs=(SMALL, str(overlay)))
    assert result.returncode == 0, result.stdout
    return Workflow(workflow.root, workflow.results, result.stdout)


def test_the_embedded_world_is_not_run_again(sites: Workflow) -> None:
    assert "[make_world]" not in sites.first
    assert "[run_" not in sites.first
    assert sorted(path.name for path in (sites.results / "restart").glob("*.nc")).count(RESTART) == 1


def test_the_injected_restart_is_the_real_one_in_normal_mode(sites: Workflow, elm_sample: Path) -> None:
    injected, base = sites.results / "restart" / RESTART, elm_sample / RESTART
    changed = set(json.loads(injected.with_name(f"{RESTART}.diff.json").read_text())["variables_changed"])
    assert injected.read_bytes()[:4] == base.read_bytes()[:4] == b"CDF\x05"
    with netCDF4.Dataset(injected) as new, netCDF4.Dataset(base) as old:
        for dataset in (new, old):
            dataset.set_auto_maskandscale(False)
        assert int(new["spinup_state"][...]) == 0
        assert list(new.variables) == list(old.variables)
        assert {name: len(dim) for name, dim in new.dimensions.items()} == {
            name: len(dim) for name, dim in old.dimensions.items()
        }
        for name, variable in old.variables.items():
            if name not in changed:
                assert variable[...].tobytes() == new[name][...].tobytes(), name


def test_the_injected_restart_passes_the_audit(sites: Workflow, elm_sample: Path) -> None:
    result = sites.phase(
        "audit",
        sites.results / "restart" / RESTART,
        "--surface",
        elm_sample / "surfdata.biomes.1d.nc",
        "--params",
        elm_sample / "clm_params_c211124.nc",
    )
    assert result.returncode == 0, result.stdout


def test_columns_without_soil_come_through_unchanged(sites: Workflow, elm_sample: Path) -> None:
    with (
        netCDF4.Dataset(sites.results / "restart" / RESTART) as new,
        netCDF4.Dataset(elm_sample / RESTART) as old,
    ):
        for dataset in (new, old):
            dataset.set_auto_maskandscale(False)
        other = old["cols1d_ityplun"][:] != 1
        assert other.sum() > 300
        for name, variable in old.variables.items():
            if variable.dimensions[:1] == ("column",):
                assert variable[...][other].tobytes() == new[name][...][other].tobytes(), name
            if variable.dimensions[:1] == ("pft",):
                patches = other[old["pfts1d_column_index"][:] - 1] | (old["pfts1d_wtcol"][:] == 0.0)
                assert variable[...][patches].tobytes() == new[name][...][patches].tobytes(), name


def test_flagged_cells_keep_their_own_state_and_are_listed(sites: Workflow, elm_sample: Path) -> None:
    predictions = sites.results / "predictions" / "predictions.nc"
    flag, lat = read(predictions, "ood_flag", "lat")
    (cells,) = read(elm_sample / RESTART, "grid1d_lat")
    np.testing.assert_allclose(lat, cells)
    diff = json.loads((sites.results / "restart" / f"{RESTART}.diff.json").read_text())
    assert [cell["cell"] - 1 for cell in diff["flagged"]["cells"]] == np.flatnonzero(flag).tolist()
    column, ityp = read(elm_sample / RESTART, "cols1d_gridcell_index", "cols1d_ityplun")
    (before,) = read(elm_sample / RESTART, "soil3c_vr")
    (after,) = read(sites.results / "restart" / RESTART, "soil3c_vr")
    kept = (ityp == 1) & (flag[column - 1] == 1)
    # Leaving AD in year 21 multiplies soil3 by its design factor, 1 / (365 k) with k of the parameter file.
    np.testing.assert_allclose(after[kept, :10], 1.95557698 * before[kept, :10], rtol=1e-6)
    given = (ityp == 1) & (flag[column - 1] == 0)
    (predicted,) = read(predictions, "soil3c_vr")
    np.testing.assert_allclose(after[given, :10], predicted[column[given] - 1], rtol=1e-12)


def test_the_sites_read_their_own_forcing_in_the_order_of_the_model_years(
    sites: Workflow, elm_sample: Path
) -> None:
    with netCDF4.Dataset(sites.results / "dataset" / "cells.nc") as cells:
        batches, domains = json.loads(cells.record_files), json.loads(cells.domains)
    assert domains == ["embedded", "sites"]
    with netCDF4.Dataset(sites.results / "dataset" / batches[-1][0]) as records:
        cell, tbot = np.asarray(records["cell"][:]), np.asarray(records["TBOT"][:])
    # Model year 1 sees forcing year 1980 + (1 - 1990) mod 20 = 1991.
    (first,) = read(elm_sample / "forcing" / "clmforc.Daymet.km.1d.TPQWL.1991-01.nc", "TBOT")
    np.testing.assert_allclose(tbot[:, 0], first.reshape(len(first), -1).mean(axis=0)[cell], rtol=1e-5)


def test_the_sites_saw_the_forcing_that_is_given_for_them(sites: Workflow) -> None:
    comparison = json.loads((sites.results / "forcing" / "sites" / "comparison.json").read_text())
    assert (
        len(comparison["variables"]),
        comparison["not_compared"],
        comparison["cells_at_forcing_points"],
    ) == (6, {}, 24)


def test_the_summary_says_what_was_injected_and_claims_no_verdict(sites: Workflow) -> None:
    summary = json.loads((sites.results / "summary.json").read_text())
    assert summary["restart"]["audit_errors"] == 0
    assert summary["domain"]["cells"] == 24
    assert summary["equilibrium"] == {}
    assert (sites.results / "report" / "index.html").stat().st_size > 0


def test_a_second_run_has_nothing_to_do(sites: Workflow, overlay: Path) -> None:
    assert "Nothing to be done" in sites.snakemake(configs=(SMALL, str(overlay))).stdout


def test_files_that_do_not_belong_together_end_the_run_before_anything_is_made(
    fresh_workflow: Workflow, overlay: Path, elm_sample: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    surface = tmp_path / "surfdata.nc"
    surface.write_bytes((elm_sample / "surfdata.biomes.1d.nc").read_bytes())
    with netCDF4.Dataset(surface, "r+") as dataset:
        dataset["PCT_NAT_PFT"][:, 0] = np.roll(dataset["PCT_NAT_PFT"][:, 0], 1)
    content["domains"]["sites"]["surface"] = str(surface)
    config = tmp_path / "mixed.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = fresh_workflow.snakemake(configs=(SMALL, str(config)))
    assert result.returncode != 0
    assert "PCT_NAT_PFT" in result.stdout
    made = [path for path in fresh_workflow.results.rglob("*") if path.suffix == ".nc"]
    assert made == []
