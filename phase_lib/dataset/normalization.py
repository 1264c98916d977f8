"""Fitting the scaler on the training cells of a split, in one pass over the batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from phase_lib.base.provenance import code_version
from phase_lib.dataset.loading import describe, iterate_batches
from phase_lib.dataset.scaler import Scaler, ScalerFit, Spec
from phase_lib.dataset.split import Split


def minmax_specs(dataset_dir: str | Path, names: Sequence[str]) -> dict[str, Spec]:
    """The paper's scaling: min-max of every feature, each PFT and layer for itself, all months together.

    Traits, which are the same in every cell, are scaled across the PFTs: each for itself would not vary.
    """
    info = describe(dataset_dir)
    shared = ("gridcell", "time")
    return {
        name: Spec(
            "minmax",
            tuple(dim for dim in info[name].dims if dim not in shared)
            if info[name].group != "traits"
            else (),
        )
        for name in names
    }


def fit_normalization(
    dataset_dir: str | Path,
    split: Split,
    specs: Mapping[str, Spec],
    output: str | Path | None = None,
    least_values: int = 2,
) -> Scaler:
    """Fits a scaler on training cells only; masked values (NaN) do not count.

    Args:
        dataset_dir: the dataset's directory.
        split: whose training cells count.
        specs: name -> how to scale it.
        output: `normalization.nc` to write, if any.
        least_values: a PFT or layer with fewer training values takes the statistics of all together.

    Raises:
        InputError: a variable is missing, has no training value, or is negative under a logarithm.
    """
    info = describe(dataset_dir)
    names = list(specs)
    fit = ScalerFit(specs, {name: info[name].dims for name in names if name in info}, least_values)
    with_cells = [name for name in names if name not in info or info[name].dims[0] == "gridcell"]
    whole = [name for name in names if name not in with_cells]
    for number, (_, values) in enumerate(iterate_batches(dataset_dir, names, split.train)):
        # What has no cells comes with every batch and counts once.
        fit.update({name: values[name] for name in (with_cells if number else with_cells + whole)})
    scaler = fit.finish()
    if output is not None:
        scaler.write(
            output,
            {
                "split": split.kind,
                "training_cells": int(split.train.sum()),
                "code_version": code_version(),
            },
        )
    return scaler
