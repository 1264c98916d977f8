"""Settings of the dataset: targets and the split into training, validation and test cells."""

from __future__ import annotations

from pydantic import Field

from phase_lib.config.section import Section
from phase_lib.config.targets import TargetSettings


class DatasetSettings(Section):
    """What is predicted, and which cells are kept back for the test."""

    targets: TargetSettings = Field(default_factory=TargetSettings, description="pools to predict")
    test_fraction: float = Field(
        0.2, gt=0.0, lt=1.0, description="share of the usable cells kept for the test"
    )
    validation_fraction: float = Field(
        0.1, gt=0.0, lt=1.0, description="share of the training part that chooses the best epoch"
    )
    block_degrees: float = Field(
        15.0, gt=0.0, le=90.0, description="edge of the tiles of the blocked split, degrees of latitude"
    )
