"""Rules for single parameters, and the check of a whole object against a table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nexus_gateway.validation.refusals import bad_value, missing, wrong_type

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


def text_or_texts(most: int) -> Rule:
    def check(value: Any, path: str) -> None:
        if type(value) is str:
            return
        if type(value) is not list:
            raise wrong_type(path, "a string or an array of strings", value)
        if not 1 <= len(value) <= most:
            raise bad_value(path, f"have 1 to {most} entries")
        for index, item in enumerate(value):
            text(item, f"{path}[{index}]")

    return check


def labels(value: Any, path: str) -> None:
    """OpenAI `metadata`: at most 16 pairs of short strings."""
    mapping(value, path)
    if len(value) > 16:
        raise bad_value(path, "have at most 16 keys")
    for key, item in value.items():
        string(64)(key, f"{path}.{key[:64]}")
        string(512)(item, f"{path}.{key}")


def token_weights(value: Any, path: str) -> None:
    """OpenAI `logit_bias`: token id -> weight."""
    mapping(value, path)
    weight = number(-100, 100)
    for key, item in value.items():
        weight(item, f"{path}.{key[:64]}")
