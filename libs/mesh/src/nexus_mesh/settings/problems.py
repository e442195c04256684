"""What is wrong with data that people wrote: one sentence for each place, in plain words."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["Loc", "near", "path_of", "sentences"]

Loc = tuple[str | int, ...]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def _short(limit: Any) -> Any:
    """0 for 0.0."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


WORDS: dict[str, str | Callable[[Mapping[str, Any]], str]] = {
    "extra_forbidden": "is not a known setting",
    "missing": "is missing",
    "string_type": "must be text",
    "string_unicode": "must be text that can be written as UTF-8",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "enum": lambda about: f"must be one of {about['expected']}",
    "literal_error": lambda about: f"must be one of {about['expected']}",
    "greater_than": lambda about: f"must be greater than {_short(about['gt'])}",
    "greater_than_equal": lambda about: f"must be at least {_short(about['ge'])}",
    "less_than": lambda about: f"must be less than {_short(about['lt'])}",
    "less_than_equal": lambda about: f"must be at most {_short(about['le'])}",
    "string_too_short": lambda about: f"must have at least {about['min_length']} characters",
    "string_too_long": lambda about: f"must have at most {about['max_length']} characters",
    "too_short": lambda about: f"must have at least {about['min_length']} entries",
    "too_long": lambda about: f"must have at most {about['max_length']} entries",
    "string_pattern_mismatch": lambda about: f"must match {about['pattern']}",
    "value_error": lambda about: str(about["error"]),
}
"""By pydantic's type of error; it gives the function the error's context."""


def sentences(
    error: ValidationError,
    whole: str = "settings",
    *,
    model: type[BaseModel] | None = None,
    place: Callable[[Loc], str] | None = None,
    after: Callable[[Loc], str] | None = None,
) -> list[str]:
    """`<path>: <what is wrong>` for each problem. `whole` names what has no path.

    With `model` near misses of its names are told; `place` tells a path in other words, and `after` more about it.
    The values themselves are left out: they may be secrets.
    """
    lines: list[str] = []
    for problem in error.errors(include_url=False, include_input=False):
        loc = tuple(part for part in problem["loc"] if part != "[key]")
        path = (place or _path)(loc) or whole
        lines.append(f"{path}: {_words(problem)}{_meant(problem, loc, model)}{after(loc) if after else ''}")
    return lines


def near(name: str, known: Iterable[str]) -> str:
    """The nearest of the known names, ready to be put after a sentence; empty without a near one."""
    found = difflib.get_close_matches(name, sorted(known), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def _path(loc: Loc) -> str:
    return path_of(*loc)


def _meant(problem: ErrorDetails, loc: Loc, model: type[BaseModel] | None) -> str:
    """Of a name that is none, the one that was meant."""
    if problem["type"] != "extra_forbidden" or model is None:
        return ""
    return near(str(loc[-1]), _fields(model, loc[:-1]))


def _fields(model: Any, path: Loc) -> Iterable[str]:
    """The names a table may have, that stands at a path below a model."""
    for part in path:
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if isinstance(part, str) and part in fields:
            model = next(iter(_models(fields[part].annotation)), None)
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    """The models in a type such as tuple[Rule, ...] or dict[str, Limits]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def path_of(*parts: str | int) -> str:
    """A place as TOML would name it. Example: routing.aliases."llama3.1:70b"."""
    return ".".join(
        str(part)
        if isinstance(part, int) or BARE_KEY.fullmatch(part)
        else json.dumps(part, ensure_ascii=False)
        for part in parts
    )


def _words(problem: ErrorDetails) -> str:
    words = WORDS.get(problem["type"], problem["msg"])
    return words if isinstance(words, str) else words(problem.get("ctx", {}))
