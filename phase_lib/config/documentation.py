"""The documented default configuration, written from the models so that the two cannot differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from phase_lib.base.plugins import Plugins
from phase_lib.config.backends import BACKENDS, backend_class
from phase_lib.config.kinds import Kinds
from phase_lib.config.root import WorkflowConfig, entry_models, section_models

_WIDTH = 100
_HEADER = """\
The default configuration: the whole accelerated spin-up on a laptop.
Every key is here, with its default; a configuration of your own needs only the keys that differ.
An unknown key is an error. This file is written by `phase config`.
"""
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def default_yaml() -> str:
    """The default configuration as YAML, every key under its documentation."""
    lines = [*_comment(_HEADER, ""), ""]
    sections, entries = section_models(WorkflowConfig), entry_models(WorkflowConfig)
    for name, field in WorkflowConfig.model_fields.items():
        if name in sections:
            lines += _section(name, sections[name])
        else:
            lines += [*_comment(f"{field.description}. An entry has these keys:", ""), "#   NAME:"]
            lines += [*(f"#{line}" for line in _fields(entries[name], "     ")), f"{name}: {{}}", ""]
        if name == "land_model":
            lines += _backends()
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, model: type[BaseModel]) -> list[str]:
    return [*_comment(_first_line(model), ""), f"{name}:", *_fields(model, "  "), ""]


def _backends() -> Iterator[str]:
    """The sections of land models; all but that of the default are comments, with keys to fill in."""
    for name in BACKENDS.names:
        if (model := backend_class(name).settings_model) is not None:
            default = name == WorkflowConfig().land_model.backend
            yield from (line if default or not line else f"# {line}" for line in _section(name, model))


def _fields(model: type[BaseModel], indent: str, kinds: Kinds | None = None) -> Iterator[str]:
    """Keys of a model; `kinds` where it is one of several, which the comment on `kind` names."""
    sections = section_models(model)
    for name, field in model.model_fields.items():
        text = _kinds(kinds) if kinds is not None and name == "kind" else _documentation(field)
        yield from _comment(text, indent)
        if name in sections:
            yield f"{indent}{name}:"
            marks = [mark for mark in field.metadata if isinstance(mark, Kinds)]
            yield from _fields(sections[name], indent + "  ", *marks)
        else:
            default = None if field.is_required() else field.get_default(call_default_factory=True)
            flow: str = yaml.safe_dump(
                to_jsonable_python(default), default_flow_style=True, sort_keys=False, width=10 * _WIDTH
            )
            text = "..." if field.is_required() else flow.removesuffix("...\n").strip()
            yield f"{indent}{name}: {text}"


def _comment(text: str, indent: str) -> list[str]:
    width = _WIDTH - len(indent) - 2
    paragraphs = (textwrap.wrap(part, width, break_long_words=False) for part in text.strip().splitlines())
    return [f"{indent}# {line}" for lines in paragraphs for line in lines]


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _documentation(field: FieldInfo) -> str:
    """Description, choices and bounds of a key in one sentence."""
    text = (field.description or "").strip().rstrip(".")
    limits = [(sign, getattr(mark, name, None)) for mark in field.metadata for name, sign in _SIGNS.items()]
    bounds = [f"{sign} {limit}" for sign, limit in limits if limit is not None]
    is_choice = get_origin(field.annotation) is Literal
    choices = [str(choice) for choice in get_args(field.annotation)] if is_choice else []
    if len(choices) > 1 and not all(choice in text for choice in choices):
        bounds.append(" | ".join(choices))
    return text + (f" [{', '.join(bounds)}]" if bounds else "")


def _kinds(kinds: Kinds) -> str:
    """What the kinds of a section are, and the keys of those that are not the default."""
    texts = []
    for name in sorted(kinds.names, key=lambda one: one != kinds.default):
        model = kinds.load(name)
        others = [key for key in model.model_fields if key != "kind"]
        keys = "the keys below" if name == kinds.default else ", ".join(others) or "no further keys"
        texts.append(f"{name}: {_first_line(model).rstrip('.')} ({keys})")
    return "; ".join(texts) + ("; or package.module:Class" if isinstance(kinds.classes, Plugins) else "")
