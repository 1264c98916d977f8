"""What the sections of the configuration share."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict

#: Names that users give to domains and experiments, which become names of files and rules.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Section(BaseModel):
    """A section, or a part of one: unknown keys are errors, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
