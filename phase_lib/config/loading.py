"""Reading settings: YAML or JSON in, checked models out, one clear line when something is wrong."""

from __future__ import annotations

import difflib
import json
import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phase_lib.base.errors import InputError
from phase_lib.base.files import require_file
from phase_lib.config.backends import BACKENDS, is_backend
from phase_lib.config.kinds import overlay
from phase_lib.config.root import WorkflowConfig, entry_models, model_for, section_models, with_backends

_Model = TypeVar("_Model", bound=BaseModel)
_Location = tuple[int | str, ...]
#: Stands for the names that users give to entries, in paths of keys.
_ENTRY = "*"


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error; plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                fault = f"key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, fault, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Reads a YAML or JSON file that holds a mapping.

    Raises:
        InputError: the file is missing, is not YAML, gives a key twice or holds no mapping.
    """
    source = require_file(path)
    try:
        content = yaml.load(source.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InputError(source, f"{line}{error.problem}", expected="YAML") from error
    except RecursionError as error:
        raise InputError(source, "is nested too deeply", expected="sections with keys") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(source, f"is not YAML ({error})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(source, f"holds a {type(content).__name__}", expected="sections with keys")
    return content


def load_config(path: str | Path) -> WorkflowConfig:
    """Reads and checks a workflow configuration; what it leaves out has its default.

    Raises:
        InputError: a key is unknown (the nearest right one is named) or a value is not possible.
    """
    return validate(WorkflowConfig, read_mapping(path), path)


def check_config(files: Sequence[str | Path], changes: Mapping[str, Any]) -> WorkflowConfig:
    """Checks a configuration of several files; a message names the file that is at fault.

    Args:
        files: in the order of merging: a key of a later one replaces that of an earlier one.
        changes: keys from the command line, which replace those of all files.

    Raises:
        InputError: as `load_config`.
    """
    contents = {str(file): read_mapping(file) for file in files} | {"--config": changes}
    merged: dict[str, Any] = {}
    for content in contents.values():
        merged = overlay(merged, content)
    model, content = model_for(merged)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = _first_fault(error.errors())
        location = fault["loc"][:-1] if fault["type"] == "missing" else fault["loc"]
        named = {file: content for file, content in contents.items() if content}
        holders = [file for file, content in named.items() if _holds(content, location)]
        raise _input_error(model, error.errors(), holders[-1] if holders else "--config") from error


def _holds(content: Any, location: _Location) -> bool:
    for part in location:
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def load_settings(text: str, model: type[_Model], section: str, option: str = "--settings") -> _Model:
    """Settings of one stage, as a command receives them.

    Args:
        text: JSON of the section, or the path of a YAML or JSON file that holds either the section
            or a whole workflow configuration.
        model: model of the section.
        section: dotted name of the section, for example `"surrogate"`; empty where the model is the whole.
        option: the option that the text came with, for messages.

    Raises:
        InputError: the text or file is not readable, or a key or value is wrong.
    """
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(option, f"is not JSON ({error})", expected="JSON or a file") from error
        return validate(model, content, option)
    if not os.path.lexists(text):
        raise InputError(option, f"{text!r} is neither a JSON object nor a file", remedy="check the path")
    content = read_mapping(text)
    sections = {*section_models(WorkflowConfig), *entry_models(WorkflowConfig)}
    if section and content and all(name in sections or is_backend(name) for name in content):
        value: Any = load_config(text)
        for name in section.split("."):
            value = getattr(value, name, None)
        if value is None:
            raise InputError(text, f"does not use the land model {section}", remedy="give its settings alone")
        return validate(model, value.model_dump(mode="json"), text)
    return validate(model, content, text)


def validate(model: type[_Model], content: Mapping[str, Any], file: str | Path | None) -> _Model:
    """Checks a mapping against a model.

    Raises:
        InputError: the first fault, in one line that names the key, what was expected and the remedy.
    """
    checked: type[BaseModel] = model
    if model is WorkflowConfig:
        checked, content = model_for(content)
    try:
        return cast(_Model, checked.model_validate(content))
    except ValidationError as error:
        raise _input_error(checked, error.errors(), file) from error


def _input_error(
    model: type[BaseModel], faults: Sequence[ErrorDetails], file: str | Path | None
) -> InputError:
    fault = _first_fault(faults)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    location = fault["loc"]
    name = ".".join(str(part) for part in location)
    if fault["type"] == "extra_forbidden":
        nearest = _nearest_key(model, location, fault["input"])
        remedy = f"did you mean {nearest}?" if nearest else "remove it"
        return InputError(file, f"unknown key {name}{more}", remedy=remedy)
    if fault["type"] == "missing":
        return InputError(file, f"{name} is missing{more}", remedy="give it, as it has no default")
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("String should match pattern", "a text that matches")
    message = re.sub(r"^\w+ should have (.*?)(?: after validation, not \d+)?$", r"\1", message)
    if fault["type"] == "value_error":
        return InputError(file, f"{name}: {message}{more}" if name else f"{message}{more}")
    return InputError(file, f"{name} is {fault['input']!r}{more}", expected=message)


def _first_fault(faults: Sequence[ErrorDetails]) -> ErrorDetails:
    # An unknown key comes first: other faults may follow from it.
    return min(faults, key=lambda fault: fault["type"] != "extra_forbidden")


def _nearest_key(model: type[BaseModel], location: _Location, content: Any) -> str | None:
    """The known key that the unknown one was most likely meant to be, dotted; None where none is near.

    A section with another name is known by its keys.
    """
    *parent, key = (str(part) for part in location)
    known = list(_keys(model))
    if issubclass(model, WorkflowConfig):
        known += [keys for keys in _keys(with_backends(tuple(BACKENDS.names))) if keys not in known]
    # `*` stands for any name of an entry.
    levels = [keys for keys in known if len(keys) == len(location)]
    siblings = [
        keys[-1] for keys in levels if all(k in (_ENTRY, p) for k, p in zip(keys, parent, strict=False))
    ]
    if near := difflib.get_close_matches(key, siblings, n=1):
        return ".".join([*parent, near[0]])
    elsewhere = [keys for keys in known if _ENTRY not in keys]
    inside = set(content) if isinstance(content, Mapping) else set()
    if holders := [".".join(keys[:-1]) for keys in elsewhere if keys[-1] in inside]:
        return max(holders, key=holders.count)
    near = difflib.get_close_matches(key, [keys[-1] for keys in elsewhere], n=1, cutoff=0.75)
    return next((".".join(keys) for keys in elsewhere if near and keys[-1] == near[0]), None)


def _keys(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    sections, entries = section_models(model), entry_models(model)
    for name in model.model_fields:
        yield (*prefix, name)
        if name in sections:
            yield from _keys(sections[name], (*prefix, name))
        if name in entries:
            yield from _keys(entries[name], (*prefix, name, _ENTRY))
