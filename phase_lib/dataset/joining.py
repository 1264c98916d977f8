"""One dataset of the records of several domains and jobs: an index over their files, no copy of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phase_lib.base.errors import InputError
from phase_lib.base.files import read_json, require_file, write_json
from phase_lib.base.progress import LOGGER
from phase_lib.base.provenance import settings_hash
from phase_lib.dataset.loading import CellIndex, describe, read_cells
from phase_lib.elm.products import open_product
from phase_lib.fusion.index import write_index

#: Columns of the index that those of the records are joined in.
_COLUMNS = ("cell", "area_km2", "landfrac", "cover", "complete", "trainable")
#: What a cleaning report holds.
_REPORTED = ("cells", "complete", "trainable", "inputs", "labels", "traits_absent", "semi_analytic")


def join_records(
    records: Mapping[str, Sequence[str | Path]],
    training: Collection[str],
    output_dir: str | Path,
    *,
    accept_forcing: bool = False,
) -> CellIndex:
    """Writes `cells.nc` and `cleaning.json` over the records of all domains.

    Cells of domains that are not trained on count as not trainable, whether they have labels or not.

    Args:
        records: domain -> the directories that its fusion jobs wrote, in their order.
        training: domains to train on.
        output_dir: directory of the dataset.
        accept_forcing: let domains have forcing of different products or reductions.

    Returns:
        The index written.

    Raises:
        InputError: records are missing, of another domain or not of the same kind, or domains to train
            on differ in their PFT parameters.
    """
    pieces = [(name, read_cells(path)) for name, paths in records.items() for path in paths]
    # Training domains come first: their first record file shows which variables there are, labels too.
    for _, index in pieces:
        for file, _ in index.record_files:
            require_file(file, remedy="fuse again")
    pieces.sort(key=lambda piece: piece[0] not in training)
    for name, index in pieces:
        if index.domains != (name,):
            what = f"holds records of {', '.join(index.domains)}"
            raise InputError(index.path, what, expected=name, remedy="fuse again")
    first = pieces[0][0]
    for name, index in pieces[1:]:
        # Jobs of one domain must agree in any case.
        if name == first or not accept_forcing:
            refuse_other_forcing(pieces[0][1].forcing[first], index.forcing[name], index.path, (first, name))
    _refuse_other_traits([index for name, index in pieces if name in training])
    directory = Path(output_dir)
    domains = list(dict.fromkeys(name for name, _ in pieces))
    files = [
        (os.path.relpath(file, directory), identity)
        for _, index in pieces
        for file, identity in index.record_files
    ]
    starts = np.cumsum([0, *(len(index.record_files) for _, index in pieces)])
    columns = {name: np.concatenate([getattr(index, name) for _, index in pieces]) for name in _COLUMNS}
    sizes = [index.ncells for _, index in pieces]
    numbers = np.array([domains.index(name) for name, _ in pieces], dtype=np.int32)
    columns["trainable"] = columns["trainable"] & np.repeat([name in training for name, _ in pieces], sizes)
    columns["domain"] = np.repeat(numbers, sizes)
    numbers = np.concatenate([index.record_file for _, index in pieces])
    columns["record_file"] = numbers + np.repeat(starts[:-1], sizes)
    write_json(directory / "cleaning.json", _cleaning(pieces, columns["trainable"]))
    lat, lon = (np.concatenate([getattr(index, name) for _, index in pieces]) for name in ("lat", "lon"))
    semi_analytic = _semi_analytic(pieces)
    without = [name for name, facts in semi_analytic.items() if not facts["source"]]
    if 0 < len(without) < len(semi_analytic):
        LOGGER.info(
            "predictions of soil start from the restarts, as %s has no semi-analytic state", without[0]
        )
    attributes = {
        "domains": json.dumps(domains),
        "training_domains": json.dumps([name for name in domains if name in training]),
        "record_files": json.dumps(files),
        "dataset_id": settings_hash([[identity for _, identity in files], sorted(training)]),
        "forcing": json.dumps({name: index.forcing[name] for name, index in pieces}),
        "semi_analytic": json.dumps(semi_analytic),
        "turnover": json.dumps(_turnover(pieces)),
    }
    write_index(directory / "cells.nc", lat, lon, columns, attributes)
    for name in domains:
        cells = columns["domain"] == domains.index(name)
        complete, trainable = (columns[column][cells].sum() for column in ("complete", "trainable"))
        line = "%s: %d cells, %d with complete inputs, %d to train and test on"
        LOGGER.info(line, name, cells.sum(), complete, trainable)
    return read_cells(directory)


def forcing_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, str] | None:
    """Where the forcing of a second domain differs from that of the first, product or reduction.

    Returns:
        What the second and what the first has, in words; None where nothing differs.
    """
    keys = [key for key in first if second.get(key) != first[key]]
    has, wanted = (", ".join(f"{key} {one.get(key)!r}" for key in keys) for one in (second, first))
    return (has, wanted) if keys else None


def refuse_other_forcing(
    first: Mapping[str, Any], second: Mapping[str, Any], file: str | Path, names: tuple[str, str]
) -> None:
    """Refuses forcing of another product, or reduced in another way.

    Args:
        first, second: forcing of two domains, as their datasets describe it.
        file: index of the second.
        names: of both domains.

    Raises:
        InputError: they differ.
    """
    difference = forcing_difference(first, second)
    if difference is not None:
        what = f"forcing of {names[1]}: {difference[0]}"
        remedy = "reduce the same forcing for both, or put forcing into preflight.accept"
        raise InputError(file, what, expected=f"{difference[1]}, as that of {names[0]}", remedy=remedy)


def _refuse_other_traits(indices: Sequence[CellIndex]) -> None:
    tables = [_traits(index) for index in indices]
    for index, table in zip(indices, tables, strict=True):
        for name, values in tables[0].items():
            if name not in table or not np.array_equal(values, table[name], equal_nan=True):
                what = f"PFT parameter {name.removeprefix('pft_')} differs between training domains"
                remedy = "train on domains that were run with the same parameters"
                raise InputError(index.path, what, expected="runs with one parameter file", remedy=remedy)


def _traits(index: CellIndex) -> dict[str, np.ndarray]:
    names = [name for name, info in describe(index.path.parent).items() if info.group == "traits"]
    with open_product(index.record_files[0][0], names) as dataset:
        return {name: dataset[name].to_numpy() for name in names}


def _report(path: Path) -> dict[str, Any]:
    """The cleaning report of one piece."""
    report = read_json(path)
    missing = [name for name in _REPORTED if name not in report]
    if missing:
        what = f"has no {missing[0]}"
        raise InputError(path, what, expected="the report that `phase fuse` wrote", remedy="fuse again")
    return report


def _semi_analytic(pieces: Sequence[tuple[str, CellIndex]]) -> dict[str, dict[str, Any]]:
    """Domain -> what its semi-analytic state is made of, with the decisions of all its jobs added up."""
    whole: dict[str, dict[str, Any]] = {}
    for name, index in pieces:
        facts = index.semi_analytic[name]
        if before := whole.get(name, {}).get("decisions"):
            decisions = {
                pool: Counter(before[pool]) + Counter(counts) for pool, counts in facts["decisions"].items()
            }
            facts = facts | {"decisions": decisions}
        whole[name] = facts
    return whole


def _turnover(pieces: Sequence[tuple[str, CellIndex]]) -> dict[str, list[str]]:
    """Domain -> the means of what passes through its cells that all of its jobs have."""
    whole: dict[str, list[str]] = {}
    for name, index in pieces:
        there = index.turnover[name]
        whole[name] = [mean for mean in whole.get(name, there) if mean in there]
    return whole


def _cleaning(pieces: Sequence[tuple[str, CellIndex]], trainable: np.ndarray) -> dict[str, Any]:
    """The cleaning reports of the pieces, added up."""
    reports = [_report(index.path.parent / "cleaning.json") for _, index in pieces]

    def reasons(table: str) -> dict[str, Any]:
        return {
            reason: {
                "cells": sum(report[table][reason]["cells"] for report in reports),
                "meaning": entry["meaning"],
                "variables": dict(
                    sum((Counter(report[table][reason]["variables"]) for report in reports), Counter())
                ),
            }
            for reason, entry in reports[0][table].items()
        }

    return {
        "cells": sum(report["cells"] for report in reports),
        "complete": sum(report["complete"] for report in reports),
        "trainable": int(trainable.sum()),
        "inputs": reasons("inputs"),
        "labels": reasons("labels"),
        "semi_analytic": _semi_analytic(pieces),
        "traits_absent": sorted({name for report in reports for name in report["traits_absent"]}),
        "domains": {
            name: {
                key: sum(
                    report[key] for (other, _), report in zip(pieces, reports, strict=True) if other == name
                )
                for key in ("cells", "complete", "trainable")
            }
            for name in dict.fromkeys(name for name, _ in pieces)
        },
    }
