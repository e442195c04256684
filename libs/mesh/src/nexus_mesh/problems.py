"""What is wrong with data that people wrote: one sentence for each place, in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["path_of", "sentences"]

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


def sentences(error: ValidationError, whole: str = "settings") -> list[str]:
    """`<path>: <what is wrong>` for each problem. `whole` names what has no path.

    The values themselves are left out: they may be secrets.
    """
    return [_sentence(problem, whole) for problem in error.errors(include_url=False, include_input=False)]


def path_of(*parts: str | int) -> str:
    """A place as TOML would name it. Example: routing.aliases."llama3.1:70b"."""
    return ".".join(
        str(part)
        if isinstance(part, int) or BARE_KEY.fullmatch(part)
        else json.dumps(part, ensure_ascii=False)
        for part in parts
    )


def _sentence(problem: ErrorDetails, whole: str) -> str:
    words = WORDS.get(problem["type"], problem["msg"])
    told = words if isinstance(words, str) else words(problem.get("ctx", {}))
    place = [part for part in problem["loc"] if part != "[key]"]
    return f"{path_of(*place) or whole}: {told}"
