"""What the surrogate predicts: the presets, and the refusal of names that cannot be predicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from phase_lib.base.errors import InputError
from phase_lib.config.loading import load_config
from phase_lib.config.targets import PRESETS, TargetSettings

PAPER = ("deadcrootc", "deadstemc", "tlai", "soil3c_vr", "soil4c_vr", "cwdc_vr")
WOOD = [f"{kind}{part}c" for kind in ("live", "dead") for part in ("stem", "croot")]


def test_the_paper_predicts_six_pools() -> None:
    assert PRESETS["paper"] == PAPER


def test_what_injection_needs_is_plants_with_their_reserves_mineral_n_and_the_cascade() -> None:
    plants = {f"{organ}{stage}" for organ in ("leafc", "frootc", *WOOD) for stage in ("", "_storage")}
    reserves = {"gresp_storage", "cpool", "npool", "ppool", "retransn", "retransp"}
    mineral = {"smin_no3_vr", "smin_nh4_vr"}
    cascade = ("litr1", "litr2", "litr3", "cwd", "soil1", "soil2", "soil3", "soil4")
    nutrients = {f"{pool}{element}_vr" for pool in cascade[:4] for element in "np"}
    expected = {*PAPER, *plants, *reserves, *mineral, *nutrients, *(f"{pool}c_vr" for pool in cascade)}
    assert set(PRESETS["slow"]) == expected
    assert len(PRESETS["slow"]) == len(expected)


def test_the_full_preset_has_what_moves_between_stages_too() -> None:
    moving = {f"{organ}_xfer" for organ in ("leafc", "frootc", *WOOD, "gresp")}
    assert PRESETS["full"][: len(PRESETS["slow"])] == PRESETS["slow"]
    assert set(PRESETS["full"]) - set(PRESETS["slow"]) == moving


def test_targets_can_be_added_and_dropped() -> None:
    targets = TargetSettings(preset="paper", add=["leafc", "litr1n_vr"], drop=["cwdc_vr"])
    assert targets.names == [*PAPER[:-1], "leafc", "litr1n_vr"]
    assert targets.patch == ["deadcrootc", "deadstemc", "tlai", "leafc"]
    assert targets.layer == ["soil3c_vr", "soil4c_vr", "litr1n_vr"]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("{add: [sol3c_vr]}", "add names 'sol3c_vr', which is no pool .*; did you mean soil3c_vr?"),
        ("{drop: [nonsense]}", "drop names 'nonsense', which the preset slow does not have$"),
        ("{drop: [soil3c]}", "drop names 'soil3c', .*; did you mean soil3c_vr?"),
        ("{preset: paper, drop: [leafc]}", "drop names 'leafc', which the preset paper does not have"),
        ("{add: [cwdn_vr]}", "add names 'cwdn_vr', which the preset slow has already$"),
        ("{add: [leafn]}", "add names 'leafn', which follows .*; did you mean leafc?"),
        ("{add: [soil3n_vr]}", "add names 'soil3n_vr', which follows .*; did you mean soil3c_vr?"),
        ("{add: [totvegc]}", "add names 'totvegc', which follows"),
        ("{add: [labilep_vr]}", "add names 'labilep_vr', which comes from the surface data on leaving AD$"),
        ("{add: [pft_ctrunc]}", "add names 'pft_ctrunc', which is not injected"),
        ("{add: [xsmrpool]}", "add names 'xsmrpool', which may be negative"),
        ("{add: [tlai]}", "add names 'tlai', which the preset slow has already$"),
        ("{add: [tlai], drop: [tlai]}", "add names 'tlai', which the preset slow has already$"),
        ("{add: [leafc_xfer, leafc_xfer]}", "add names 'leafc_xfer', which is named twice"),
        ("{drop: [leafc, leafc]}", "drop names 'leafc', which is named twice"),
        (f"{{preset: paper, drop: [{', '.join(PAPER)}]}}", "nothing is left to predict"),
    ],
)
def test_targets_that_cannot_be_are_refused_in_one_line(tmp_path: Path, targets: str, message: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"dataset: {{targets: {targets}}}")
    with pytest.raises(InputError, match=rf"config\.yaml: dataset\.targets: {message}") as refused:
        load_config(config)
    assert "\n" not in str(refused.value)
