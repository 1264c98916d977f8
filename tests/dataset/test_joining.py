"""Several domains and jobs in one dataset: an index over their files, each cell once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.fusion import FusionSettings
from phase_lib.config.surrogate import Preset
from phase_lib.config.targets import TargetSettings
from phase_lib.dataset.joining import join_records
from phase_lib.dataset.layout import Layout
from phase_lib.dataset.loading import load_dataset, read_cells
from phase_lib.fusion.fuse import Share, fuse
from phase_lib.fusion.schema import TURNOVER
from phase_lib.landmodel.domain import Domain
from tests.helpers.dataset import Grid, add_soil_budget, add_turnover, shuffled_grid, write_inputs

NAMES = ["lat", "lon", "TBOT", "deadstemc", "state20_soil3c_vr", "cell"]


def fused(inputs: Domain, directory: Path, name: str, part: Share | None = None) -> Path:
    fuse(
        replace(inputs, name=name),
        FusionSettings(record_cells=4),
        TargetSettings(preset="paper"),
        directory,
        part,
    )
    return directory


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    return write_inputs(tmp_path_factory.mktemp("inputs"), shuffled_grid())


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    """Another domain without a reference."""
    grid = Grid(np.array([12.5, -33.0, 47.0]), np.array([20.0, 250.0, 100.0]), seed=4)
    given = write_inputs(tmp_path_factory.mktemp("target"), grid)
    return replace(given, reference_restart=None, reference_history=(), reference_ad_restart=None)


def test_jobs_side_by_side_give_the_records_of_one_job(inputs: Domain, tmp_path: Path) -> None:
    whole = fused(inputs, tmp_path / "whole", "a")
    parts = [fused(inputs, tmp_path / str(number), "a", Share(number, 5)) for number in range(1, 6)]
    joined = tmp_path / "joined"
    index = join_records({"a": parts}, ["a"], joined)
    assert index.ncells == 24
    assert len(index.record_files) >= 5
    one, several = load_dataset(whole, NAMES), load_dataset(joined, NAMES)
    for name in NAMES:
        np.testing.assert_array_equal(one[name], several[name])
    np.testing.assert_array_equal(read_cells(whole).trainable, index.trainable)
    reports = [json.loads((path / "cleaning.json").read_text()) for path in (whole, joined)]
    for table in ("inputs", "labels"):
        assert reports[0][table] == reports[1][table]
    assert reports[1]["domains"]["a"]["cells"] == 24


def test_only_cells_of_training_domains_are_trained_on(
    inputs: Domain, target: Domain, tmp_path: Path
) -> None:
    a, b = fused(inputs, tmp_path / "a", "a"), fused(target, tmp_path / "b", "b")
    # Whatever their order: the first batch says which variables there are.
    index = join_records({"b": [b], "a": [a]}, ["a"], tmp_path / "joined")
    assert index.domains == ("a", "b")
    assert index.of_domain("b").sum() == 3
    assert not index.trainable[index.of_domain("b")].any()
    assert index.trainable[index.of_domain("a")].any()
    assert sorted(index.cell[index.of_domain("b")]) == [0, 1, 2]
    other = join_records({"a": [a], "b": [fused(inputs, tmp_path / "c", "b")]}, ["a"], tmp_path / "two")
    assert not other.trainable[other.of_domain("b")].any()
    with pytest.raises(InputError, match=r"has no domain 'c'; expected one of a, b"):
        index.of_domain("c")
    with pytest.raises(InputError, match="names no domain"):
        index.of_domain(None)


def test_other_forcing_is_refused_unless_it_is_accepted(
    inputs: Domain, target: Domain, tmp_path: Path
) -> None:
    with netCDF4.Dataset(target.monthly[0], "r+") as dataset:
        dataset.product = "other weather"
    a, b = fused(inputs, tmp_path / "a", "a"), fused(target, tmp_path / "b", "b")
    with netCDF4.Dataset(target.monthly[0], "r+") as dataset:
        dataset.product = "synthetic"
    with pytest.raises(
        InputError, match=r"forcing of b: product 'other weather'; expected product 'synthetic'"
    ):
        join_records({"a": [a], "b": [b]}, ["a"], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()
    assert join_records({"a": [a], "b": [b]}, ["a"], tmp_path / "joined", accept_forcing=True).ncells == 27


def test_domains_run_with_other_parameters_are_not_trained_on_together(
    inputs: Domain, tmp_path: Path
) -> None:
    params = tmp_path / "params.nc"
    params.write_bytes(inputs.params.read_bytes())
    with netCDF4.Dataset(params, "r+") as dataset:
        dataset["leafcn"][4] = 31.0
    a = fused(inputs, tmp_path / "a", "a")
    b = fused(replace(inputs, params=params), tmp_path / "b", "b")
    with pytest.raises(InputError, match="PFT parameter leafcn differs between training domains"):
        join_records({"a": [a], "b": [b]}, ["a", "b"], tmp_path / "joined")
    assert join_records({"a": [a], "b": [b]}, ["a"], tmp_path / "joined").ncells == 48


def test_records_of_another_domain_are_refused(inputs: Domain, tmp_path: Path) -> None:
    a = fused(inputs, tmp_path / "a", "a")
    with pytest.raises(InputError, match="holds records of a; expected b"):
        join_records({"b": [a]}, ["b"], tmp_path / "joined")


def test_more_jobs_than_cells_are_refused(target: Domain, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fusion\.jobs is 4 for the 3 cells"):
        fused(target, tmp_path / "b", "b", Share(1, 4))
    assert not (tmp_path / "b").exists()


def test_nitrogen_is_an_input_where_all_domains_have_it(tmp_path: Path) -> None:
    def domain(name: str, *fields: str) -> Path:
        grid = Grid(np.array([12.5, -33.0, 47.0]), np.array([20.0, 250.0, 100.0]), 4)
        inputs = write_inputs(tmp_path / name, grid)
        add_turnover(inputs, dict.fromkeys(fields, 1.0e-9))
        return fused(inputs, tmp_path / f"{name}_records", name)

    def static(records: dict[str, list[Path]], preset: Preset = "default") -> list[str]:
        join_records(records, ["a"], tmp_path / "joined")
        names = Layout.read(tmp_path / "joined", preset).static
        return [name for name in names if name in TURNOVER]

    a = domain("a", "NDEP_TO_SMINN", "NFIX_TO_SMINN")
    b = domain("b", "NFIX_TO_SMINN", "SUPPLEMENT_TO_SMINN")
    assert static({"a": [a]}) == ["NDEP_TO_SMINN", "NFIX_TO_SMINN"]
    assert static({"a": [a], "b": [b]}) == ["NFIX_TO_SMINN"]
    assert static({"a": [a]}, "paper") == []
    with pytest.raises(InputError, match="variable NDEP_TO_SMINN is missing"):
        Layout.read(a).require_in(b)


def test_predictions_start_from_the_semi_analytic_state_where_all_domains_have_one(tmp_path: Path) -> None:
    def domain(name: str, seed: int) -> Domain:
        return write_inputs(
            tmp_path / name, Grid(np.array([12.5, -33.0, 47.0]), np.array([20.0, 250.0, 100.0]), seed)
        )

    with_budget, without = domain("a", 4), domain("b", 5)
    add_soil_budget(with_budget, growth=0.02, lost=0.1)
    parts = [fused(with_budget, tmp_path / f"a{number}", "a", Share(number, 2)) for number in (1, 2)]
    alone = join_records({"a": parts}, ["a"], tmp_path / "alone")
    assert sum(alone.semi_analytic["a"]["decisions"]["soil3"].values()) == 30
    layout = Layout.read(tmp_path / "alone")
    assert layout.steady == ["soil3c_vr", "soil4c_vr", "cwdc_vr"]
    assert layout.starts()["soil3c_vr"] == "steady_soil3c_vr"
    assert layout.starts()["deadstemc"] == "state20_deadstemc"
    assert Layout.read(tmp_path / "alone", "paper").starts()["soil3c_vr"] == "state20_soil3c_vr"

    other = fused(without, tmp_path / "bb", "b")
    join_records({"a": parts, "b": [other]}, ["a"], tmp_path / "both")
    both = Layout.read(tmp_path / "both")
    assert both.starts()["soil3c_vr"] == "state20_soil3c_vr"
    both.require_in(tmp_path / "alone")
    with pytest.raises(InputError, match="variable steady_soil3c_vr is missing"):
        layout.require_in(tmp_path / "both")
