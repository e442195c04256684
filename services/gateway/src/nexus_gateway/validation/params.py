"""Rules for single parameters, and the check of a whole object against a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nexus_gateway.validation.refusals import bad_value, missing, wrong_type

MAX_WEIGHT = 1e6

Rule = Callable[[Any, str], None]
"""Takes a value and its path; raises MeshError when the value will not do."""


def check_object(body: dict[str, Any], rules: Mapping[str, Rule], required: Iterable[str]) -> None:
    """Checks the parameters that have a rule; the others pass. Optional nulls mean "default": they go."""
    for name in required:
        if name not in body:
            raise missing(name)
    nulls = []
    for name, value in body.items():
        rule = rules.get(name)
        if rule is None:
            continue
        if value is None and name not in required:
            nulls.append(name)
        else:
            rule(value, name)
    for name in nulls:
        del body[name]


def drop_nothings(body: dict[str, Any], nothings: Mapping[str, tuple[Any, ...]]) -> None:
    """Takes out the parameters whose value asks for what comes without them."""
    for name in nothings.keys() & body.keys():
        if body[name] in nothings[name]:
            del body[name]


def boolean(value: Any, path: str) -> None:
    if type(value) is not bool:
        raise wrong_type(path, "a boolean", value)


def mapping(value: Any, path: str) -> None:
    if type(value) is not dict:
        raise wrong_type(path, "an object", value)


def array(value: Any, path: str) -> None:
    if type(value) is not list:
        raise wrong_type(path, "an array", value)


def integer(low: int, high: int) -> Rule:
    def check(value: Any, path: str) -> None:
        if type(value) is not int:
            raise wrong_type(path, "an integer", value)
        if not low <= value <= high:
            raise bad_value(path, f"be between {low} and {high}")

    return check


def number(low: float, high: float) -> Rule:
    def check(value: Any, path: str) -> None:
        if type(value) is not float and type(value) is not int:
            raise wrong_type(path, "a number", value)
        if not low <= value <= high:
            raise bad_value(path, f"be between {low} and {high}")

    return check


def string(longest: int, *, shortest: int = 0) -> Rule:
    """A string that becomes a name or a label somewhere: bounded, and without NUL."""

    def check(value: Any, path: str) -> None:
        if type(value) is not str:
            raise wrong_type(path, "a string", value)
        if not shortest <= len(value) <= longest:
            raise bad_value(path, f"have {shortest} to {longest} characters")
        if "\0" in value:
            raise bad_value(path, "not contain a NUL character")

    return check


def text(value: Any, path: str) -> None:
    """A string of any length and content."""
    if type(value) is not str:
        raise wrong_type(path, "a string", value)


def one_of(*words: str) -> Rule:
    def check(value: Any, path: str) -> None:
        if type(value) is not str:
            raise wrong_type(path, "a string", value)
        if value not in words:
            raise bad_value(path, f"be one of {', '.join(words)}")

    return check


def text_or_texts(most: int, least: int = 1) -> Rule:
    def check(value: Any, path: str) -> None:
        if type(value) is str:
            return
        if type(value) is not list:
            raise wrong_type(path, "a string or an array of strings", value)
        if not least <= len(value) <= most:
            raise bad_value(path, f"have {least} to {most} entries")
        for index, item in enumerate(value):
            text(item, f"{path}[{index}]")

    return check


def labels(value: Any, path: str) -> None:
    """`metadata`: pairs of short strings."""
    mapping(value, path)
    if len(value) > 64:
        raise bad_value(path, "have at most 64 keys")
    for key, item in value.items():
        string(256)(key, f"{path}.{key[:64]}")
        string(4096)(item, f"{path}.{key[:64]}")


def token_weights(value: Any, path: str) -> None:
    """`logit_bias`: token id -> weight."""
    mapping(value, path)
    weight = number(-MAX_WEIGHT, MAX_WEIGHT)
    for key, item in value.items():
        weight(item, f"{path}.{key[:64]}")
