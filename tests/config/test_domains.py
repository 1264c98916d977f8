"""Domains of a configuration: files of their own, training and target chosen among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from phase_lib.base.errors import InputError
from phase_lib.base.files import fingerprint, matching_files, sha256_file
from phase_lib.config.documentation import default_yaml
from phase_lib.config.domains import DomainFiles, ForcingFiles
from phase_lib.config.loading import load_config
from phase_lib.landmodel.domain import ad_run

SITES: dict[str, Any] = {
    "domain": "domain.nc",
    "surface": "surfdata.nc",
    "params": "clm_params.nc",
    "soil_params": "CNP_parameters.nc",
    "restart": "ad.elm.r.0021-01-01-00000.nc",
    "history": ["ad.elm.h0.*.nc"],
    "spinup_mortality_factor": 10.0,
    "forcing": {"product": "GSWP3 v1", "first_year": 1901, "files": ["forcing/*.nc"]},
}
LABELS = {"reference_restart": "final.elm.r.0801-01-01-00000.nc", "reference_history": ["final.elm.h0.*.nc"]}


def written(directory: Path, content: dict[str, Any]) -> Path:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def archive(**changes: Any) -> dict[str, Any]:
    """Training on the embedded world, target from files; `changes` are those of the domain."""
    return {
        "land_model": {"backend": "archive"},
        "target": {"domain": "sites"},
        "domains": {"sites": {**SITES, **changes}},
    }


def test_a_domain_from_files_can_be_the_target_of_a_training_on_the_embedded_world(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, archive()))
    assert config.training.domains == ["embedded"]
    forcing = config.domains["sites"].forcing
    assert forcing is not None
    assert forcing.years == 20


def test_training_on_some_sites_and_predicting_another_domain_is_a_configuration(tmp_path: Path) -> None:
    content = archive()
    content["domains"]["tenth"] = {**SITES, **LABELS}
    content["training"] = {"domains": ["tenth"]}
    assert load_config(written(tmp_path, content)).training.domains == ["tenth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            archive(restrat="x"),
            r"unknown key domains\.sites\.restrat; did you mean domains\.sites\.restart\?",
        ),
        (
            archive(forcing={**SITES["forcing"], "alignyear": 1}),
            r"unknown key domains\.sites\.forcing\.alignyear; did you mean "
            r"domains\.sites\.forcing\.align_year\?",
        ),
        (archive(forcing={"product": "x", "first_year": 1901}), r"domains\.sites\.forcing\.files is empty"),
        (archive(forcing={"first_year": 1901, "files": ["a"]}), r"domains\.sites\.forcing\.product"),
        (
            archive(forcing={"kind": "history", "product": "x", "first_year": 5}),
            r"domains\.sites\.forcing: .*align_year is 1, .*expected align_year 5",
        ),
        (archive(history=[]), r"domains\.sites: has a restart and no history; give both"),
        (archive(restart=None), r"domains\.sites: has a history and no restart; give both"),
        (
            archive(restart=None, history=[]),
            r"has spinup_mortality_factor, .* no restart; .*for runs of this workflow spinup has the factor",
        ),
        (
            archive(restart=None, history=[], spinup_mortality_factor=None, soil_history=["h1.nc"]),
            r"has soil_history, .* no restart; .*runs of this workflow write their own",
        ),
        (archive(reference_restart="r.nc"), r"reference_restart and no reference_history"),
        ({"land_model": {"backend": "archive"}}, r"target\.domain is 'embedded' with .*'archive'"),
        ({**archive(), "target": {"domain": "site"}}, r"names 'site'; .*did you mean sites\?"),
        ({**archive(), "training": {"domains": ["sites"]}}, r"domains\.sites has no reference_restart"),
        (
            {**archive(), "domains": {"sites": {}}},
            r"domains\.sites has no restart, and land_model\.backend archive runs nothing",
        ),
        (archive(reference_ad_restart="r.nc"), r"has a reference_ad_restart and no reference_restart"),
        ({**archive(), "training": {"domains": []}}, r"training\.domains"),
        ({**archive(), "training": {"domains": ["embedded"] * 2}}, r"names a domain twice"),
        ({"domains": {"embedded": SITES}}, r"domains\.embedded: not a name for a domain"),
        ({"domains": {"a/b": SITES}}, r"domains\.a/b: not a name for a domain"),
        ({"preflight": {"accept": ["disk"]}}, r"preflight\.accept\.0 is 'disk'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load_config(written(tmp_path, content))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("model", [DomainFiles, ForcingFiles])
def test_the_default_configuration_documents_every_key_of_a_domain(model: type[BaseModel]) -> None:
    lines = [line.lstrip("# ") for line in default_yaml().splitlines()]
    for key, field in model.model_fields.items():
        assert any(line.startswith(f"{key}:") for line in lines)
        assert field.description


def test_a_pattern_stands_for_files_in_the_order_of_their_names(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("h0.0002.nc", "h0.0001.nc", "h1.0001.nc"):
        (tmp_path / name).touch()
    monkeypatch.setenv("ARCHIVE", str(tmp_path))
    files = matching_files(["$ARCHIVE/h0.*.nc", tmp_path / "h0.0001.nc"])
    assert [path.name for path in files] == ["h0.0001.nc", "h0.0002.nc"]
    with pytest.raises(InputError, match=r"h9\.\*\.nc: no such file"):
        matching_files(["$ARCHIVE/h9.*.nc"])
    monkeypatch.delenv("ARCHIVE")
    with pytest.raises(InputError, match="an environment variable in it is not set"):
        matching_files(["$ARCHIVE/h0.*.nc"])


def test_the_fingerprint_of_a_large_file_tells_size_and_places_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    assert fingerprint(path) == f"sha256:{sha256_file(path)}"
    for name, value in {"_WHOLE": 1000, "_SAMPLES": 4, "_SAMPLE": 16}.items():
        monkeypatch.setattr(f"phase_lib.base.files.{name}", value)
    marks = {fingerprint(path)}
    for change in (slice(0, 1), slice(-1, None), slice(5456, 5457)):
        content = bytearray(bytes(range(256)) * 64)
        content[change] = bytes([content[change][0] ^ 1])
        path.write_bytes(content)
        marks.add(fingerprint(path))
    path.write_bytes(bytes(range(256)) * 64 + b"x")
    marks.add(fingerprint(path))
    assert len(marks) == 5
    assert all(mark.startswith("sampled-sha256:") for mark in marks)


def without_factor(**changes: Any) -> dict[str, Any]:
    content = archive(**changes)
    content["domains"]["sites"].pop("spinup_mortality_factor")
    return content


def test_a_domain_from_files_has_to_say_the_mortality_factor_of_its_run(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        load_config(written(tmp_path, without_factor()))
    line = str(raised.value)
    assert "domains.sites: spinup_mortality_factor is missing, and so is lnd_in" in line
    assert "1 where it has no line" in line


def test_the_mortality_factor_is_read_from_the_namelist_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = tmp_path / "case"
    (case / "CaseDocs").mkdir(parents=True)
    namelist = case / "CaseDocs" / "lnd_in"
    namelist.write_text("&elm_inparm\n spinup_state = 1\n spinup_mortality_factor = 8\n/\n", encoding="utf-8")
    monkeypatch.setenv("CASE", str(case))
    files = load_config(written(tmp_path, without_factor(lnd_in="$CASE"))).domains["sites"]
    assert ad_run(files.lnd_in, files.spinup_mortality_factor)[0] == 8.0
    namelist.write_text("&elm_inparm\n spinup_state = 1\n/\n", encoding="utf-8")
    assert ad_run(files.lnd_in, files.spinup_mortality_factor)[0] == 1.0
    both = load_config(written(tmp_path, archive(lnd_in="$CASE"))).domains["sites"]
    with pytest.raises(
        InputError, match=f"{namelist}: spinup_mortality_factor is 1, but 10 is given beside it"
    ):
        ad_run(both.lnd_in, both.spinup_mortality_factor)
