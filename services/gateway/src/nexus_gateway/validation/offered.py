"""What may be asked of a model in one operation, as a JSON Schema of the request: what the rules here take, met with
what the catalogues of its backends say. Nothing is listed here: an operation or a parameter that has a rule is in it.

A request that is of the schema is taken by every backend the schema is of: where their catalogues differ it has what
all of them take, for whichever of them is asked. Routing goes by capabilities and not by catalogues; so of capabilities
it has those of the backend with the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from nexus_mesh.core import JsonObject
from nexus_operations import SPECS

from nexus_gateway.validation.body_rules import BodyRules, When, body_rules_of
from nexus_gateway.validation.meeting import is_of, met
from nexus_gateway.validation.params import shape_of
from nexus_gateway.validation.parse import ANYWHERE, CHECKS
from nexus_gateway.validation.shapes import body_shape
from nexus_gateway.validation.words import GROUPS, TOKENS, words_of

__all__ = ["Backing", "Offer", "offered"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Backing(NamedTuple):
    """What one backend says of a model. `catalogue`: its JSON Schema of the operation's requests, "" = none.

    `context`: tokens, 0 = not known.
    """

    catalogue: str = ""
    capabilities: frozenset[int] = frozenset()
    context: int = 0


class Offer(NamedTuple):
    """`schema` of the request object, with any name of a model; `ui`: how to lay a form of it out. `capabilities` and
    `context` of the backends that have the most of it."""

    schema: JsonObject
    ui: JsonObject
    capabilities: frozenset[int]
    context: int


def offered(operation: int, backings: Iterable[Backing]) -> Offer | None:
    """Of an operation that has a URL; None where backends differ so much that no request would suit them all.

    The same for the same backings, in whatever order and however many say the same.
    """
    return _offered(operation, tuple(sorted(set(backings), key=_order)))


def _order(backing: Backing) -> tuple[str, list[int], int]:
    return backing.catalogue, sorted(backing.capabilities), backing.context


WORDS = frozenset({"title", "description", "examples", "default"})
"""Of a schema, what refuses nothing."""


@lru_cache(maxsize=512)
def _offered(operation: int, backings: tuple[Backing, ...]) -> Offer | None:
    check, rules = CHECKS[operation]
    name_of, body, whole = SPECS[operation].name, body_rules_of(check), body_shape(operation)
    catalogues = [told for each in backings if (told := _catalogue(each.catalogue)) is not None]
    capable = max((each.capabilities for each in backings), key=lambda each: (len(each), sorted(each)))
    context = max(each.context for each in backings)
    files = {name: shape for name, shape in whole["properties"].items() if name not in rules}
    names = [*files, *rules, *_beyond(catalogues, rules)]
    found: JsonObject = {}
    for name in names:
        if name in body.needs and body.needs[name] not in capable:
            continue
        if not (shape := files.get(name) or _surely_taken(name, operation)):
            continue
        untold = name == "model" or name in body.own
        for each in catalogues:
            if name in files:
                shape = (
                    each.get("properties", {}).get(name) or shape
                )  # what kind of file, and whether one or several
            elif shape is not None:
                met_by = body.respelled.get(name)
                shape = _narrowed(shape, name, each, untold=untold, respelled=met_by)
        if shape is not None:
            defaults = _defaults(name, body, catalogues if len(catalogues) == len(backings) else ())
            found[name] = _told(name_of, name, shape, defaults, context)
    whens = _possible(body.whens, found)
    unsuited = {name for name in body.said if name not in found or "default" not in found[name]}
    required = {*whole["required"], *unsuited}.union(*(each.get("required", ()) for each in catalogues))
    if not required <= found.keys():
        return None
    schema: JsonObject = {
        "$schema": DIALECT,
        "type": "object",
        "required": sorted(required),
        "properties": dict(sorted(found.items())),
        "additionalProperties": False,
    }
    if whens:
        schema["allOf"] = [when.schema for when in whens]
    return Offer(schema, _laid_out(name_of, names, found), capable, context)


def _catalogue(text: str) -> JsonObject | None:
    """None where there is none, or none that can be read: one backend's nonsense takes nothing from the others."""
    try:
        told = msgspec.json.decode(text, type=dict[str, Any]) if text else None
    except (msgspec.MsgspecError, RecursionError):
        return None
    properties = (told or {}).get("properties", {})
    if not isinstance(properties, dict) or not all(isinstance(each, dict) for each in properties.values()):
        return None
    return told


def _beyond(catalogues: Sequence[JsonObject], rules: Mapping[str, object]) -> list[str]:
    """Parameters of backends that the operation has no rule for, and the gateway has one."""
    named = {name for each in catalogues for name in each.get("properties", {})}
    return sorted(name for name in named - rules.keys() if name in ANYWHERE)


def _surely_taken(name: str, operation: int) -> JsonObject:
    """By the operation's own rules, or those of who else has such a parameter; empty where no schema says it."""
    for each in (operation, *CHECKS):
        check, rules = CHECKS[each]
        if name in rules:
            body = body_rules_of(check)
            # Who streams has a rule for it; and what goes with what is known of the own parameters alone.
            tied = each != operation and (name == "stream" or any(when.name == name for when in body.whens))
            return {} if tied or name in body.hidden else body.narrower.get(name) or shape_of(rules[name])
    shape = shape_of(ANYWHERE[name])
    is_code = "object" in shape.get("type", "") or shape.get("format") == "regex"
    return {} if is_code else shape


def _narrowed(
    shape: JsonObject, name: str, catalogue: JsonObject, *, untold: bool, respelled: str | None
) -> JsonObject | None:
    """What a catalogue leaves of a parameter. `untold`: no backend need know of it. `respelled`: its type there."""
    told = catalogue.get("properties", {}).get(name)
    if told is not None and respelled is not None:
        return shape if told.keys() <= WORDS | {"type"} and told.get("type", respelled) == respelled else None
    if told is not None:
        return met(shape, told)
    return shape if untold or catalogue.get("additionalProperties", True) is not False else None


def _defaults(name: str, body: BodyRules, catalogues: Sequence[JsonObject]) -> list[object]:
    """What the parameter is when nobody says it, by the gateway's word or that of all catalogues; of several, none."""
    if name in body.defaults:
        return [body.defaults[name]]
    told = [each.get("properties", {}).get(name, {}) for each in catalogues]
    known = {repr(each["default"]): each["default"] for each in told if "default" in each}
    return [*known.values()] if all("default" in each for each in told) and len(known) == 1 else []


def _told(operation: str, name: str, shape: JsonObject, defaults: list[object], context: int) -> JsonObject:
    """With its words, and no longer than the model's context is."""
    words = words_of(operation, name)
    notes = {"description": words.about, "unit": words.unit}
    told = {**{key: text for key, text in notes.items() if text}, **shape}
    if words.unit == TOKENS and context:
        told["maximum"] = min(told.get("maximum", context), context)
    told.pop("default", None)
    if defaults and is_of(defaults[0], told):
        told["default"] = defaults[0]
    return told


def _possible(whens: Iterable[When], found: JsonObject) -> list[When]:
    """Those about parameters that are there. What can't be said without one that is not there is taken out."""
    kept: list[When] = []
    for when in whens:
        if when.name not in found:
            continue
        if when.said and not when.then.keys() <= found.keys():
            del found[when.name]
        elif then := {name: each for name, each in when.then.items() if name in found}:
            kept.append(replace(when, then=then))
    return kept


def _laid_out(operation: str, names: Sequence[str], found: JsonObject) -> JsonObject:
    """The order of a form: by groups, and in them what can wait behind the rest."""
    rows = {name: words_of(operation, name) for name in names if name in found and name != "model"}
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    order = sorted(rows, key=lambda name: (ranks[rows[name].group], rows[name].advanced))
    groups = [
        {"name": group, "title": title, "parameters": inside}
        for group, title in GROUPS.items()
        if (inside := [name for name in order if rows[name].group == group])
    ]
    return {"order": order, "groups": groups, "advanced": [name for name in order if rows[name].advanced]}
