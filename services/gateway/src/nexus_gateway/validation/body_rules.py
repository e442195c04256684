"""What is to be known of a body beyond the rules of its parameters, so that a form of it can be drawn: said beside the
check that refuses the rest. A property of the tests holds the two together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from nexus_mesh.core import JsonObject

__all__ = ["BodyRules", "When", "body_rules_of", "explained"]


@dataclass(frozen=True, slots=True)
class When:
    """Where parameter `name` is said and has a value of the schema `value`, others must be as `then` has it.

    `said`: whether those must be said, their defaults being no such values.
    """

    name: str
    then: Mapping[str, JsonObject]
    value: JsonObject = field(default_factory=dict[str, Any])
    said: bool = True

    @property
    def schema(self) -> JsonObject:
        """The same in JSON Schema."""
        then: JsonObject = {"properties": dict(self.then)}
        if self.said:
            then["required"] = sorted(self.then)
        return {"if": {"properties": {self.name: self.value}, "required": [self.name]}, "then": then}


@dataclass(frozen=True, slots=True)
class BodyRules:
    """`required`: beside the model and what is worked on. `own`: parameters between a client and the edge, of which no
    backend hears. `defaults`: what a parameter is when nobody says it; `said`: those of them that are then said to the
    backend, which has to take them. `needs`: the Capability that a parameter asks for. `hidden`: parameters that are
    taken and offered to nobody: old twins, and what no engine here can honour. `narrower`: schemas of what is surely
    taken, where that of a rule is wider. `respelled`: parameters that reach backends in one spelling of several, by the
    type of that: who says more of such a value than its type means it before, and is not met. `whens`: what goes with
    what.
    """

    required: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    said: frozenset[str] = frozenset()
    needs: Mapping[str, int] = field(default_factory=dict[str, int])
    hidden: frozenset[str] = frozenset()
    narrower: Mapping[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    respelled: Mapping[str, str] = field(default_factory=dict[str, str])
    whens: tuple[When, ...] = ()


_C = TypeVar("_C", bound=Callable[..., object])
_RULES: WeakKeyDictionary[Callable[..., object], BodyRules] = WeakKeyDictionary()
PLAIN = BodyRules()


def explained(rules: BodyRules) -> Callable[[_C], _C]:
    """Marks a check of bodies with what it goes by."""

    def mark(check: _C) -> _C:
        _RULES[check] = rules
        return check

    return mark


def body_rules_of(check: Callable[..., object]) -> BodyRules:
    """What a check of bodies was marked with."""
    return _RULES.get(check, PLAIN)
