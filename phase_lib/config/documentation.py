"""The documented default configuration, written from the models so that the two cannot differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from phase_lib.base.plugins import Plugins
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
            model = sections[name]
            lines += [*_comment(_first_line(model), ""), f"{name}:", *_fields(model, "  "), ""]
        else:
            lines += [*_comment(f"{field.description}. An entry has these keys:", ""), *_entry(entries[name])]
            lines += [f"{name}: {{}}", ""]
    return "\n".join(lines).rstrip() + "\n"


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
            default = field.get_default(call_default_factory=True)
            yield f"{indent}{name}: {'...' if field.is_required() else _flow(to_jsonable_python(default))}"


def _entry(model: type[BaseModel]) -> Iterator[str]:
    """The keys of an entry under a name of the user's choice, all in comments."""
    yield from (f"#{line}" for line in ("   NAME:", *_fields(model, "     ")))


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


def _kinds(kinds: Kinds) -> str:
    """What the kinds of a section are, and the keys of those that are not the default."""
    texts = []
    for name in sorted(kinds.names, key=lambda name: name != kinds.default):
        model = kinds.load(name)
        others = [key for key in model.model_fields if key != "kind"]
        keys = "the keys below" if name == kinds.default else ", ".join(others) or "no further keys"
        texts.append(f"{name}: {_first_line(model).rstrip('.')} ({keys})")
    return "; ".join(texts) + ("; or package.module:Class" if isinstance(kinds.classes, Plugins) else "")
