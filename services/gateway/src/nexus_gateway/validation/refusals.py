"""The sentences a bad request is refused with, each naming the parameter by its JSON path."""

from __future__ import annotations

from typing import Literal, get_args

from nexus_mesh.core import MeshError, Reason

RequestCode = Literal[
    "invalid_file",
    "invalid_image",
    "invalid_image_url",
    "invalid_json",
    "invalid_multipart",
    "invalid_number",
    "invalid_schema",
    "invalid_type",
    "invalid_utf8",
    "invalid_value",
    "missing_required_parameter",
    "too_complex",
    "too_deep",
    "unknown_parameter",
]
"""What may be wrong with a request, as OpenAI names it where OpenAI does."""
REQUEST_CODES: frozenset[str] = frozenset(get_args(RequestCode))

SHOWN_CHARACTERS = 64
JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def invalid(code: RequestCode, message: str, param: str | None = None) -> MeshError:
    """INVALID_REQUEST with the OpenAI `code` and, when one parameter is to blame, its path."""
    metadata = {"code": code} if param is None else {"code": code, "param": param}
    return MeshError(Reason.INVALID_REQUEST, message, metadata=metadata)


def wrong_type(param: str, expected: str, value: object) -> MeshError:
    got = JSON_TYPES.get(type(value), "something else")
    return invalid("invalid_type", f"'{param}' must be {expected}, not {got}.", param)


def bad_value(param: str, rule: str) -> MeshError:
    """`rule` completes the sentence "'param' must ..."."""
    return invalid("invalid_value", f"'{param}' must {rule}.", param)


def missing(param: str) -> MeshError:
    return invalid("missing_required_parameter", f"'{param}' is required.", param)


def unsupported(param: str, why: str) -> MeshError:
    return MeshError(
        Reason.UNSUPPORTED_PARAMETER, f"'{param}' is not supported: {why}", metadata={"param": param}
    )


def shown(text: str) -> str:
    """`text` as a message may quote it: short and without control characters."""
    return ascii(text[:SHOWN_CHARACTERS])[1:-1]
