"""Injection at any size: blocks change nothing, memory does not follow the file, the benchmark is real."""

from __future__ import annotations

import gc
import hashlib
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from phase_lib.base.errors import InputError
from phase_lib.bench.inject import (
    PREDICTED_LAYER,
    PREDICTED_PATCH,
    InjectionFiles,
    Layout,
    bench_inject,
    make_files,
)
from phase_lib.config.injection import InjectionSettings
from phase_lib.config.ood import OodSettings
from phase_lib.elm.audit.audited import BlockRows
from phase_lib.elm.audit.findings import AuditReport
from phase_lib.elm.audit.run import audit_restart
from phase_lib.elm.blocks import Blocks
from phase_lib.elm.netcdf import open_dataset, open_with_rows
from phase_lib.elm.surface import open_fields
from phase_lib.injection.inject import Audit, inject
from phase_lib.injection.predictions import Predictions
from tests.helpers.restarts import MORTALITY, copy_of, edit, make_world, raw

pytestmark = pytest.mark.slow

CELLS = 60


@pytest.fixture(scope="module", params=["soil", "full"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> InjectionFiles:
    """The benchmark's files, small."""
    return make_files(tmp_path_factory.mktemp(request.param), CELLS, request.param)


def audit_in_small_blocks(restart: Path, surface: Path, params: Any) -> AuditReport:
    return audit_restart(restart, surface, params, block_rows=BlockRows(columns=100, patches=1700))


def run(
    files: InjectionFiles,
    output: Path,
    *,
    chunk: int = 8192,
    action: Any = "keep",
    audit: Audit = audit_restart,
) -> dict[str, Any]:
    return inject(
        **vars(files),
        output=output,
        settings=InjectionSettings(chunk_cells=chunk),
        ood=OodSettings(action=action),
        audit=audit,
        mortality_factor=MORTALITY,
    )


def test_the_restart_of_the_benchmark_has_the_variables_of_a_real_one(
    elm_sample: Path, tmp_path: Path
) -> None:
    def shapes(path: Path) -> Counter[tuple[tuple[str, ...], str]]:
        with netCDF4.Dataset(path) as d:
            return Counter((v.dimensions, v.dtype.str[1:]) for v in d.variables.values())

    real = next(elm_sample.glob("*.elm.r.*.nc"))
    made = make_files(tmp_path, 3, "full").restart
    assert shapes(made) == shapes(real)
    with netCDF4.Dataset(real) as a, netCDF4.Dataset(made) as b:
        assert b.data_model == a.data_model
        levels = {name for name in a.dimensions if name.startswith(("lev", "num", "string", "month", "max"))}
        assert {n: b.dimensions[n].size for n in levels} == {n: a.dimensions[n].size for n in levels}
        # An ordinary cell: natural vegetation and three urban landunits.
        assert [b.dimensions[n].size // 3 for n in ("landunit", "column", "pft")] == [4, 16, 32]


def test_all_that_the_benchmark_predicts_is_in_the_restart_or_follows_from_it(
    files: InjectionFiles, tmp_path: Path
) -> None:
    report = run(files, tmp_path / "out.nc")
    columns, patches = (raw(files.restart, f"{name}_ityplun") == 1 for name in ("cols1d", "pfts1d"))
    cover = raw(files.restart, "pfts1d_wtcol")[patches].reshape(CELLS, 17)
    woody = raw(files.params, "woody")[:17] > 0

    def layers(name: str) -> np.ndarray:
        return raw(tmp_path / "out.nc", name)[columns]

    for pool in ("litr1", "litr2", "litr3", "cwd", "soil1", "soil2", "soil3", "soil4"):
        np.testing.assert_array_equal(
            layers(f"{pool}c_vr")[:, :10], raw(files.predictions, f"{pool}c_vr"), strict=True
        )
    for pool, cn, cp in (("soil1", 12, 360), ("soil2", 12, 360), ("soil3", 10, 500), ("soil4", 10, 500)):
        np.testing.assert_allclose(layers(f"{pool}n_vr") * cn, layers(f"{pool}c_vr"), rtol=1e-12)
        np.testing.assert_allclose(layers(f"{pool}p_vr") * cp, layers(f"{pool}c_vr"), rtol=1e-12)
    parts = layers("smin_no3_vr") + layers("smin_nh4_vr")
    np.testing.assert_allclose(layers("sminn_vr"), parts, rtol=1e-12)
    for name in ("deadstemc", "deadcrootc"):
        values = raw(tmp_path / "out.nc", name)[patches].reshape(CELLS, 17)
        injected = (cover > 0.0) & woody
        np.testing.assert_array_equal(values[injected], raw(files.predictions, name)[injected])
    follows = {name for name in (*PREDICTED_PATCH, *PREDICTED_LAYER) if name[-1] in "np" and "dead" in name}
    assert follows | {"totvegc", "sminn_vr", "soil4p_vr"} <= set(report["not_injected"])
    assert (len(PREDICTED_PATCH), len(PREDICTED_LAYER)) == (12, 27)
    assert report["audit"]["findings"] == []


def test_what_lies_outside_the_soil_stays_byte_for_byte(files: InjectionFiles, tmp_path: Path) -> None:
    changed = set(run(files, tmp_path / "out.nc")["variables_changed"])
    rows = {
        name: raw(files.restart, f"{prefix}_ityplun") != 1
        for name, prefix in (("column", "cols1d"), ("pft", "pfts1d"))
    }
    with netCDF4.Dataset(files.restart) as a, netCDF4.Dataset(tmp_path / "out.nc") as b:
        a.set_auto_maskandscale(False)
        b.set_auto_maskandscale(False)
        for name, variable in a.variables.items():
            before, after = variable[...], b[name][...]
            if name in changed and variable.dimensions:
                outside = rows[variable.dimensions[0]]
                before, after = before[outside], after[outside]
            if name != "spinup_state":
                assert np.asarray(before).tobytes() == np.asarray(after).tobytes(), name


@pytest.mark.parametrize("chunk", [1, 7])
def test_the_size_of_the_blocks_changes_nothing(files: InjectionFiles, tmp_path: Path, chunk: int) -> None:
    whole, pieces = (run(files, tmp_path / f"{size}.nc", chunk=size) for size in (8192, chunk))
    assert (tmp_path / "8192.nc").read_bytes() == (tmp_path / f"{chunk}.nc").read_bytes()
    for name, entry in whole["variables_changed"].items():
        change = pieces["variables_changed"][name]
        assert change["count"] == entry["count"]
        np.testing.assert_allclose(change["after"], entry["after"], rtol=1e-12)
    assert pieces["clipped"] == whole["clipped"]
    assert pieces["audit"]["findings"] == whole["audit"]["findings"]


def test_the_sidecar_names_its_inputs_by_their_checksums(files: InjectionFiles, tmp_path: Path) -> None:
    report = run(files, tmp_path / "out.nc")
    for key, path in (("base", files.restart), ("predictions", files.predictions)):
        assert report[key]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "work",
    [
        lambda files, folder: run(files, folder / "out.nc", chunk=100, audit=audit_in_small_blocks),
        lambda files, _: audit_in_small_blocks(files.restart, files.surface, files.params),
    ],
    ids=["injection", "audit"],
)
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[InjectionFiles, Path], object]
) -> None:
    monkeypatch.setattr("phase_lib.elm.blocks.INDEX_ROWS", 1700)
    monkeypatch.setattr("phase_lib.injection.base._BLOCK_CELLS", 100)

    def peak(files: InjectionFiles) -> int:
        tracemalloc.start()
        work(files, tmp_path)
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peaks = []
    for cells in (100, 1000, 3000):
        (tmp_path / str(cells)).mkdir()
        files = make_files(tmp_path / str(cells), cells, "soil")
        if cells == 100:
            work(files, tmp_path)  # imports and caches are not what grows
            continue
        # When garbage is collected differs between runs, by some 100 bytes a cell; what grows is in all.
        peaks.append(min(peak(files) for _ in range(3)))
    per_cell = (peaks[1] - peaks[0]) / 2000
    # The restart has 39,000 bytes a cell; while coordinates are compared, they are in memory. Garbage that is
    # not collected yet adds some ten bytes.
    assert per_cell < 200


def test_the_maps_of_rows_hold_nothing_that_grows_with_the_cells(tmp_path: Path) -> None:
    memory = []
    for cells in (20, 300, 6000):
        (tmp_path / str(cells)).mkdir()
        files = make_files(tmp_path / str(cells), cells, "soil")
        with open_with_rows(files.restart) as (dataset, rows), ExitStack() as stack:
            tracemalloc.start()
            blocks = Blocks(files.restart, dataset, rows)
            fields = stack.enter_context(open_fields(files.surface, ["AREA"], blocks.lat, blocks.lon))
            opened = stack.enter_context(open_dataset(files.predictions))
            predictions = Predictions(files.predictions, opened, blocks, np.ones(17), OodSettings())
            gc.collect()
            memory.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
            del fields, predictions
    assert memory[2] - memory[1] < 2850, "half a byte for each cell more"


def set_values(path: Path, name: str, cell: int, value: float) -> None:
    edit(path, name, (cell, slice(None)), value)


def test_a_cell_that_keeps_its_state_needs_no_prediction(files: InjectionFiles, tmp_path: Path) -> None:
    lacking = InjectionFiles(**{**vars(files), "predictions": copy_of(files.predictions, tmp_path)})
    edit(lacking.predictions, "ood_flag", 4, 1)
    for name in (*PREDICTED_PATCH, *PREDICTED_LAYER):
        set_values(lacking.predictions, name, 4, np.nan)
    report = run(lacking, tmp_path / "out.nc")
    assert [entry["cell"] for entry in report["flagged"]["cells"]] == [5]
    with pytest.raises(InputError, match=r"is not a finite number \(nan\) in cell 5 "):
        run(lacking, tmp_path / "refused.nc", action="predict")
    assert not (tmp_path / "refused.nc").exists()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("deadstemc", 1.0e12, r"is more than any ecosystem holds \(1e\+12\) in cell 5 "),
        ("soil3c_vr", 1.0e8, r"is more than any ecosystem holds \(1e\+08\) in cell 5 "),
        ("deadstemc", 1.0e36, "is fill"),
        ("soil3c_vr", -1.0, "is negative"),
    ],
)
def test_what_no_ecosystem_holds_is_not_injected(
    files: InjectionFiles, tmp_path: Path, name: str, value: float, problem: str
) -> None:
    broken = InjectionFiles(**{**vars(files), "predictions": copy_of(files.predictions, tmp_path)})
    set_values(broken.predictions, name, 4, value)
    with pytest.raises(InputError, match=problem):
        run(broken, tmp_path / "refused.nc")
    assert not (tmp_path / "refused.nc").exists()


def test_an_analogue_is_needed_in_flagged_cells_alone(files: InjectionFiles, tmp_path: Path) -> None:
    made = InjectionFiles(**{**vars(files), "predictions": copy_of(files.predictions, tmp_path)})
    with netCDF4.Dataset(made.predictions, "r+") as d:
        d["ood_flag"][4] = 1
        for name in (*PREDICTED_PATCH, *PREDICTED_LAYER):
            analogue = d.createVariable(f"analogue_{name}", "f8", d[name].dimensions, fill_value=np.nan)
            analogue.units = d[name].units
            analogue[4] = np.full(17, 50.0) if name in PREDICTED_PATCH else d[name][7]
            d[name][4] = np.nan
    run(made, tmp_path / "out.nc", action="analogue")
    soil = np.flatnonzero(raw(files.restart, "cols1d_ityplun") == 1)
    after = raw(tmp_path / "out.nc", "soil3c_vr")[soil, :10]
    predicted = raw(files.predictions, "soil3c_vr")
    np.testing.assert_array_equal(after[4], predicted[7])
    np.testing.assert_array_equal(np.delete(after, 4, axis=0), np.delete(predicted, 4, axis=0))


@pytest.mark.parametrize(
    ("name", "row", "value", "problem"),
    [
        ("cols1d_gridcell_index", 0, 99, "cols1d_gridcell_index: "),
        ("pfts1d_column_index", 3, 0, "pfts1d_column_index: "),
        ("pfts1d_gridcell_index", 3, 2, "lies on column 1 of cell 1"),
        ("pfts1d_itypveg", 3, 4, "appears twice"),
    ],
)
def test_rows_that_contradict_each_other_are_refused_by_injection_and_audit(
    tmp_path: Path, name: str, row: int, value: int, problem: str
) -> None:
    world = make_world(tmp_path / "world", urban=False, lake=False, shuffle=False)
    edit(world.restart, name, row, value)
    with pytest.raises(InputError, match=problem):
        audit_restart(world.restart)
    with pytest.raises(InputError, match=problem):
        inject(
            world.restart,
            world.surface,
            world.params,
            world.soil_params,
            None,
            tmp_path / "out.nc",
            InjectionSettings(),
            OodSettings(),
            audit=audit_restart,
            mortality_factor=MORTALITY,
        )
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("layout", ["soil", "full"])
def test_a_benchmark_that_the_disk_cannot_hold_is_refused_in_one_line(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(InputError, match=r"GB free.*expected .* GB for 1000000000 cells"):
        bench_inject(10**9, None, layout, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_benchmark_sets_the_injection_beside_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{bench_inject.__module__}._REPEATS", 2)
    monkeypatch.setattr(f"{bench_inject.__module__}._GROWN_REPEATS", 1)
    result = bench_inject(40, 80, "soil", tmp_path)
    assert (result["cells"], result["grown"]["cells"]) == (40, 80)
    assert result["allowed_seconds"] == pytest.approx(1.5 * result["cp_seconds"] + 0.5, abs=2e-3)
    assert set(result["phases"]) == {"check", "copy", "soil", "plants", "audit", "hash"}
    assert 0.0 < sum(result["phases"].values()) <= 1.1 * result["inject_seconds"]
    assert 0.0 < result["work_cpu_seconds"] <= 1.1 * result["inject_seconds"]
    assert [len(runs) for runs in result["runs"].values()] == [2, 2]
    for name in ("cp_seconds", "inject_seconds", "work_cpu_seconds"):
        grown = result["grown"][name] / result[name] / 2.0
        assert result["grown"][f"per_cell_{name}_ratio"] == pytest.approx(grown, abs=0.2)
    assert result["peak_mib_above_interpreter"] > 0.0
    assert not list(tmp_path.iterdir())
