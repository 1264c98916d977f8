"""A land model with its own case and file names, added as one module of another package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.cli import main
from phase_lib.config.loading import validate
from phase_lib.config.root import with_backends
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE
from phase_lib.landmodel.planning import domains_of, land_model_of
from tests.landmodel.conftest import SmallWorld

NAME = "batch_model"
#: As in a batch system: it makes a case from the files of the domain; it loses the first try of a run, and
#: the second try uses the files of the first; its output has other names until it is complete.
MODULE = '''
import json
import shutil
from pathlib import Path

from pydantic import BaseModel

from phase_lib.base.errors import ModelAbort
from phase_lib.landmodel.domain import ANNUAL_TAPE, CYCLE_TAPE
from phase_lib.landmodel.interface import Cost, Job, LandModel, Step


class Settings(BaseModel, extra="forbid"):
    """Where another run of the same length is."""

    like: Path


class BatchModel(LandModel[Settings]):
    name = "batch_model"
    settings_model = Settings
    segment_settings = ("like",)
    segment_code = ("batch_model",)

    def steps(self, domain):
        case = domain.directory / f"{domain.name}_case" / "case.json"
        code, inputs = self.segment_code, (domain.surface,)
        return [Step(f"create_case_{domain.name}", inputs, (case,), ("like",), code, "creating the case")]

    def prepare(self, step, domain, directory, threads):
        forcing = domain.forcing
        case = {"surface": str(domain.surface), "align": forcing.align_year, "forcing": len(forcing.files)}
        directory.mkdir(parents=True)
        (directory / "case.json").write_text(json.dumps({"step": step, "threads": threads} | case))

    def job(self, role, segment):
        return Job(1, {"nodes": 2, "tasks": 128, "mpi": "srun", "runtime": 60 * segment.years})

    def run(self, segment):
        case = segment.domain.directory / f"{segment.domain.name}_case" / "case.json"
        assert json.loads(case.read_text())["align"] == segment.domain.forcing.align_year
        work = segment.directory / "work"
        if not work.is_dir():
            work.mkdir(parents=True)
            shutil.copy(next(self.settings.like.glob("*.r.*.nc")), work / "model_restart.nc")
            raise ModelAbort("the job was lost")
        shutil.move(work / "model_restart.nc", segment.restart)
        for tape in (CYCLE_TAPE, ANNUAL_TAPE):
            written = sorted(self.settings.like.glob(f"*.h{tape}.*.nc"))
            for source, path in zip(written, segment.history(tape)):
                shutil.copy(source, path)

    def cost(self, cells):
        return Cost(0.02 * cells, 1.5e5 * cells, 1e4 * cells)
'''


def phase(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_a_land_model_of_another_package_makes_its_case_and_runs_any_domain(
    small_world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batch_model.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    like = small_world.run(tmp_path / "like").restart.parent
    files = small_world.domain
    sites = {name: str(getattr(files, name)) for name in ("domain", "surface", "params", "soil_params")}
    pattern = str(small_world.directory / "forcing" / "*.nc")
    forcing = {"files": [pattern], "product": "any", "first_year": 1901, "align_year": 7}
    content = {
        "land_model": {"backend": "batch_model:BatchModel"},
        "training": {"domains": ["embedded"]},
        "target": {"domain": "sites"},
        "domains": {"sites": sites | {"forcing": forcing}},
        NAME: {"like": str(like)},
    }
    models = with_backends(("embedded", "batch_model:BatchModel"))
    with pytest.raises(InputError, match="batch_model does not write the carbon budget of the soil"):
        validate(models, content, None)
    config = validate(models, content | {"stabilisation": {"windows": []}}, None)
    model, domain = land_model_of(config, "sites"), domains_of(config)["sites"]
    [step] = model.steps(domain)
    segment = domain.segments(domain.chain("ad"), config.spinup)[0]
    assert (segment.start_year, segment.end_year) == (1, 21)
    assert model.job("ad", segment).resources["runtime"] == 1200

    common = ["--backend", "batch_model:BatchModel", "--settings", json.dumps({"like": str(like)})]
    common += ["--domain-name", "sites", "--surface", domain.surface, "--domain", domain.domain]
    assert domain.forcing is not None
    common += ["--forcing-files", domain.forcing.section.model_dump_json()]
    case = step.outputs[0]
    assert phase("prepare", *common, "--step", step.name, "--output-dir", case.parent, "--workers", 3) == 0
    assert json.loads(case.read_text(encoding="utf-8")) == {
        "step": "create_case_sites",
        "threads": 3,
        "surface": sites["surface"],
        "align": 7,
        "forcing": 3 * 12 * 20,
    }
    words = ["run-segment", *common, "--case", segment.case, "--mode", "ad", "--start-year", 1, "--years", 20]
    words += ["--output-dir", segment.directory]
    assert phase(*words) == 1, "the job was lost"
    assert not segment.restart.exists()
    assert phase(*words) == 0
    assert segment.restart.is_file()
    assert all(path.is_file() for tape in (CYCLE_TAPE, ANNUAL_TAPE) for path in segment.history(tape))
    # A step that the land model does not have is refused.
    assert phase("prepare", "--backend", "archive", "--step", "any", "--output-dir", "none") == 2
