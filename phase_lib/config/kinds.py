"""Settings whose key `kind` decides which other keys there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from phase_lib.base.plugins import Plugins, did_you_mean
from phase_lib.config.section import Section


class KindSettings(Section):
    """The keys of one kind."""

    kind: str

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the class of this kind."""
        return type(self).__module__


@dataclass(frozen=True)
class Kinds:
    """Annotation of a field that holds the settings of one of several kinds.

    The field accepts a mapping with `kind`, or only the name of a kind, with its defaults.

    Attributes:
        classes: kind -> settings, a table or plug-ins.
        default: kind where none is named.
    """

    classes: Mapping[str, type[KindSettings]] | Plugins
    default: str

    @property
    def names(self) -> list[str]:
        """Kinds of this library."""
        return self.classes.names if isinstance(self.classes, Plugins) else list(self.classes)

    def load(self, kind: str) -> type[KindSettings]:
        """Settings of a kind.

        Raises:
            ValueError: there is no such kind.
        """
        if isinstance(self.classes, Plugins):
            model = self.classes.load(kind)
            if not (isinstance(model, type) and issubclass(model, KindSettings)):
                raise ValueError(f"{kind} is no {self.classes.what}; expected a subclass of KindSettings")
            if missing := ", ".join(sorted(getattr(model, "__abstractmethods__", ()))):
                raise ValueError(f"the {self.classes.what} {kind} lacks {missing}")
            return model
        if kind not in self.classes:
            hint = did_you_mean(kind, self.names)
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(self.names)}{hint}")
        return self.classes[kind]

    def settings(self, content: Any) -> Any:
        """Settings of the kind in a mapping or of that name; other values are returned unchanged.

        Raises:
            ValueError: there is no such kind, or it has no such key.
        """
        if isinstance(content, str):
            content = {"kind": content}
        if not isinstance(content, Mapping):
            return content
        kind = str(content.get("kind", self.default))
        model = self.load(kind)
        known = list(model.model_fields)
        for key in content:
            if key not in known:
                near = did_you_mean(str(key), known) or f"; expected one of {', '.join(known)}"
                raise ValueError(f"unknown key {key} of kind {kind}{near}")
        return model.model_validate({**content, "kind": kind})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Checks by the class of the kind before the field's own type."""
        return core_schema.no_info_before_validator_function(self.settings, handler(source))


class NetworkSettings(KindSettings, ABC):
    """Keys of one kind of network: a class in the file of that network.

    Attributes:
        label: what the network is called in tables and figures.
    """

    label: ClassVar[str]

    @property
    def weights(self) -> Mapping[str, float]:
        """Weights of the terms of the loss that only this kind has; see `surrogate.loss.losses`."""
        return {}

    @abstractmethod
    def build(self, layout: Any) -> Any:
        """The network, a `torch.nn.Module` that takes a `surrogate.features.Batch` and gives an `Answer`.

        Args:
            layout: variables of the dataset, `dataset.layout.Layout`.
        """


def overlay(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed, section by section.

    A section that names another kind than before replaces the whole, as its keys are others.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping):
            if "kind" in old and isinstance(value, str):
                value = {"kind": value}
            if isinstance(value, Mapping) and value.get("kind", old.get("kind")) == old.get("kind"):
                value = overlay(old, value)
        merged[key] = value
    return merged
