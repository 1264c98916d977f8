"""What the numbers of a dataset mean: a model refuses inputs of another meaning than its training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.dataset.loading import describe_records
from phase_lib.elm.products import open_product


@dataclass(frozen=True)
class Meaning:
    """Units, mode and parameters of the variables of records.

    Attributes:
        units: variable -> its units.
        mode: variable of a restart -> mode and model year of that restart, as `ad, model year 21`.
        parameters: PFT parameter -> its values (natpft).
    """

    units: Mapping[str, str]
    mode: Mapping[str, str]
    parameters: Mapping[str, Sequence[float]]

    @classmethod
    def read(cls, records: str | Path, names: Sequence[str]) -> Self:
        """Of variables of a record file.

        Raises:
            InputError: the file is damaged, or a variable is missing.
        """
        info = describe_records(records)
        traits = [name for name in names if info[name].group == "traits"]
        with open_product(records, names) as dataset:
            modes = {name: _mode(dataset[name].attrs) for name in names}
            parameters = {name: dataset[name].to_numpy().astype(float).tolist() for name in traits}
        return cls(
            {name: info[name].units for name in names},
            {name: mode for name, mode in modes.items() if mode},
            parameters,
        )

    def require_in(self, other: Meaning, records: str | Path, *, accept_parameters: bool = False) -> None:
        """Refuses other records whose variables mean something else.

        Args:
            other: meaning of those records, of some of the same variables.
            records: their file, for the message.
            accept_parameters: accept other values of PFT parameters.

        Raises:
            InputError: units, mode or parameters differ.
        """
        remedy = "fuse the same kind of data as in the training, or train again"
        for wanted, given, aspect in (
            (self.units, other.units, "units"),
            (self.mode, other.mode, "the state of"),
        ):
            for name in other.units:
                if wanted.get(name, "") != given.get(name, ""):
                    what = f"variable {name} has {aspect} {given.get(name) or 'nothing'}"
                    expected = f"{wanted.get(name) or 'nothing'}, as in the training data"
                    raise InputError(records, what, expected=expected, remedy=remedy)
        if accept_parameters:
            return
        for name, values in other.parameters.items():
            if not np.array_equal(values, self.parameters.get(name, []), equal_nan=True):
                what = f"PFT parameter {name.removeprefix('pft_')} is not that of the training data"
                remedy = "use runs with the same parameters, or put parameters into preflight.accept"
                raise InputError(records, what, expected="one parameter file", remedy=remedy)


def _mode(attributes: Mapping[str, Any]) -> str:
    return (
        f"{attributes['space']}, model year {attributes['model_year']}" if "model_year" in attributes else ""
    )
