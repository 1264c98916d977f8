"""The documented default configuration, written from the models so that the two cannot differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from phase_lib.config.root import WorkflowConfig, section_models

_WIDTH = 100
_HEADER = """\
The default configuration: the whole accelerated spin-up on a laptop.
Every key is here, with its default; a configuration of your own needs only the keys that differ.
An unknown key is an error. This file is written by `phase check --write-default`.
"""
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def default_yaml() -> str:
    """The default configuration as YAML, every key under its documentation."""
    lines = [*_comment(_HEADER, ""), ""]
    for name, model in section_models(WorkflowConfig).items():
        lines += [*_comment(_first_line(model), ""), f"{name}:", *_fields(model, "  "), ""]
    return "\n".join(lines).rstrip() + "\n"


def _fields(model: type[BaseModel], indent: str) -> Iterator[str]:
    sections = section_models(model)
    for name, field in model.model_fields.items():
        yield from _comment(_documentation(field), indent)
        if name in sections:
            yield f"{indent}{name}:"
            yield from _fields(sections[name], indent + "  ")
        else:
            value = model.model_validate({}).model_dump(mode="json")[name]
            yield f"{indent}{name}: {_flow(value)}"


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10 * _WIDTH)
    return text.removesuffix("...\n").strip()


def _comment(text: str, indent: str) -> list[str]:
    return [
        line
        for paragraph in text.strip().splitlines()
        for line in textwrap.wrap(
            paragraph,
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_long_words=False,
        )
    ]


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _documentation(field: FieldInfo) -> str:
    """Description, choices and bounds of a key in one sentence."""
    text = (field.description or "").strip().rstrip(".")
    bounds = [
        f"{sign} {getattr(constraint, name)}"
        for constraint in field.metadata
        for name, sign in _SIGNS.items()
        if getattr(constraint, name, None) is not None
    ]
    choices = (
        [str(choice) for choice in get_args(field.annotation)]
        if get_origin(field.annotation) is Literal
        else []
    )
    if len(choices) > 1 and not all(choice in text for choice in choices):
        bounds.append(" | ".join(choices))
    return text + (f" [{', '.join(bounds)}]" if bounds else "")
