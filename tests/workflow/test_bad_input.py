"""Bad input ends in one line that names file, variable and remedy, with exit code 2, and writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from tests.workflow.conftest import Workflow

pytestmark = pytest.mark.slow

RESTART = "ad.elm.r.0021-01-01-00000.nc"


def refused(workflow: Workflow, output: Path, *words: object) -> str:
    """The one line with which a command refuses its input."""
    result = workflow.phase(*words)
    lines = [line for line in result.stdout.splitlines() if not line.startswith("[")]
    assert result.returncode == 2, result.stdout
    assert len(lines) == 1, result.stdout
    written = [path for path in output.rglob("*") if path.is_file()] if output.is_dir() else []
    assert not output.is_file()
    assert written == []
    return lines[0]


def damaged(source: Path, directory: Path) -> Path:
    target = directory / "damaged" / source.name
    target.parent.mkdir(exist_ok=True)
    shutil.copy2(source, target)
    return target


def inject_words(workflow: Workflow, output: Path, **files: Path) -> list[object]:
    world = workflow.results / "world"
    given = {
        "restart": workflow.results / "landmodel" / "ad" / RESTART,
        "surface": world / "surfdata.nc",
        "params": world / "clm_params.nc",
        "soil_params": world / "CNP_parameters.nc",
        "predictions": workflow.results / "predictions" / "predictions.nc",
        **files,
    }
    words: list[object] = ["inject"]
    for name, path in given.items():
        words += [f"--{name.replace('_', '-')}", path]
    return [*words, "--output", output / RESTART]


def forcing_words(workflow: Workflow, directory: Path, output: Path, years: int = 20) -> list[object]:
    domain = workflow.results / "world" / "domain.lnd.nc"
    options = ("--first-year", 1901, "--years", years, "--limit-km", 1500)
    return [
        "forcing",
        *("--kind", "datm", "--product", "embedded", "--align-year", 1),
        *("--files", directory / "*.nc"),
        *("--domain", domain),
        *options,
        "--output",
        output / "monthly.nc",
    ]


def segment_words(workflow: Workflow, output: Path, **files: Path) -> list[object]:
    world = workflow.results / "world"
    given = {
        "finidat": workflow.results / "landmodel" / "ad" / RESTART,
        "surface": world / "surfdata.nc",
        "domain": world / "domain.lnd.nc",
        "params": world / "clm_params.nc",
        "soil_params": world / "CNP_parameters.nc",
        "forcing": workflow.results / "forcing" / "embedded" / "all.1901-1920.nc",
        **files,
    }
    words: list[object] = ["run-segment", "--case", "ad", "--mode", "ad", "--start-year", 21, "--years", 20]
    for name, path in given.items():
        words += [f"--{name.replace('_', '-')}", path]
    return [*words, "--output-dir", output]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def forcing_links(small_run: Workflow, tmp_path: Path) -> Path:
    links = tmp_path / "forcing"
    links.mkdir()
    for file in (small_run.results / "world" / "forcing").iterdir():
        (links / file.name).symlink_to(file)
    return links


def test_the_workflow_refuses_a_misspelt_key_before_anything_runs(fresh_workflow: Workflow) -> None:
    config = fresh_workflow.root / "misspelt.yaml"
    config.write_text("spinup: {ad_yeras: 40}")
    result = fresh_workflow.snakemake(configs=(str(config),))
    assert result.returncode == 2
    [line] = [line for line in result.stdout.splitlines() if line.startswith("phase: ")]
    assert line == f"phase: {config}: unknown key spinup.ad_yeras; did you mean spinup.ad_years?"
    assert "Traceback" not in result.stdout
    assert not (fresh_workflow.root / "results").exists()


def test_a_missing_file(small_run: Workflow, output: Path, tmp_path: Path) -> None:
    missing = tmp_path / "absent.nc"
    line = refused(small_run, output, *inject_words(small_run, output, restart=missing))
    assert f"{missing}: does not exist" in line


@pytest.mark.parametrize("bytes_kept", [3, 2_000, 200_000])
def test_a_truncated_restart(small_run: Workflow, output: Path, tmp_path: Path, bytes_kept: int) -> None:
    restart = damaged(small_run.results / "landmodel" / "ad" / RESTART, tmp_path)
    restart.write_bytes(restart.read_bytes()[:bytes_kept])
    assert str(restart) in refused(small_run, output, *inject_words(small_run, output, restart=restart))
    assert str(restart) in refused(small_run, output, *segment_words(small_run, output, finidat=restart))


def test_a_truncated_netcdf4_file(small_run: Workflow, output: Path, tmp_path: Path) -> None:
    predictions = damaged(small_run.results / "predictions" / "predictions.nc", tmp_path)
    predictions.write_bytes(predictions.read_bytes()[:4_000])
    line = refused(small_run, output, *inject_words(small_run, output, predictions=predictions))
    assert str(predictions) in line


def test_restart_and_surface_of_different_grids(small_run: Workflow, output: Path, tmp_path: Path) -> None:
    surface = damaged(small_run.results / "world" / "surfdata.nc", tmp_path)
    with netCDF4.Dataset(surface, "a") as dataset:
        dataset["LATIXY"][:] = dataset["LATIXY"][:] + 2.0
    for words in (
        inject_words(small_run, output, surface=surface),
        segment_words(small_run, output, surface=surface),
    ):
        line = refused(small_run, output, *words)
        assert str(surface) in line
        assert "same grid" in line


@pytest.mark.parametrize("value", [np.nan, 1.0e36])
def test_nan_or_fill_in_a_predicted_active_pool(
    small_run: Workflow, output: Path, tmp_path: Path, value: float
) -> None:
    predictions = damaged(small_run.results / "predictions" / "predictions.nc", tmp_path)
    with netCDF4.Dataset(predictions, "a") as dataset:
        dataset.set_auto_maskandscale(False)
        kept = np.flatnonzero(dataset["ood_flag"][:] == 0)
        dataset["soil3c_vr"][kept[0], 2] = value
    line = refused(small_run, output, *inject_words(small_run, output, predictions=predictions))
    assert str(predictions) in line
    assert "soil3c_vr" in line


def test_predictions_for_fewer_cells_than_the_restart(
    small_run: Workflow, output: Path, tmp_path: Path
) -> None:
    source = small_run.results / "predictions" / "predictions.nc"
    fewer = tmp_path / "fewer.nc"
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(fewer, "w") as new:
        old.set_auto_maskandscale(False)
        new.setncatts(old.__dict__)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, dimension.size - (name == "gridcell"))
        for name, variable in old.variables.items():
            fill = getattr(variable, "_FillValue", None)
            copy = new.createVariable(name, variable.dtype, variable.dimensions, fill_value=fill)
            copy.setncatts({key: value for key, value in variable.__dict__.items() if key != "_FillValue"})
            copy[:] = variable[:-1] if variable.dimensions[:1] == ("gridcell",) else variable[:]
    line = refused(small_run, output, *inject_words(small_run, output, predictions=fewer))
    assert str(fewer) in line
    assert "53" in line
    assert "54" in line


def test_a_missing_forcing_month(small_run: Workflow, output: Path, forcing_links: Path) -> None:
    (forcing_links / "clmforc.embedded.Prec.1907-11.nc").unlink()
    line = refused(small_run, output, *forcing_words(small_run, forcing_links, output))
    assert "PRECTmms of 1907-11 is missing" in line
    assert str(forcing_links) in line


def test_a_forcing_cycle_that_does_not_cover_the_configured_years(
    small_run: Workflow, output: Path, forcing_links: Path
) -> None:
    line = refused(small_run, output, *forcing_words(small_run, forcing_links, output, years=25))
    assert "1921-01 is missing" in line
    assert "1901 to 1925" in line


def test_wrong_units_of_a_forcing_variable(small_run: Workflow, output: Path, forcing_links: Path) -> None:
    link = forcing_links / "clmforc.embedded.TPQWL.1910-02.nc"
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)
    with netCDF4.Dataset(link, "a") as dataset:
        dataset["TBOT"].units = "C"
    line = refused(small_run, output, *forcing_words(small_run, forcing_links, output), "--workers", 2)
    assert str(link) in line
    assert "TBOT" in line
    assert "'K'" in line


def test_wrong_units_of_a_prediction(small_run: Workflow, output: Path, tmp_path: Path) -> None:
    predictions = damaged(small_run.results / "predictions" / "predictions.nc", tmp_path)
    with netCDF4.Dataset(predictions, "a") as dataset:
        dataset["deadstemc"].units = "kg m-2"
    line = refused(small_run, output, *inject_words(small_run, output, predictions=predictions))
    assert str(predictions) in line
    assert "deadstemc" in line
