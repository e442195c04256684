"""A failure as the object that OpenAI's clients read, and NEXUS's own; each dialect puts it where its clients look."""

from __future__ import annotations

from collections.abc import Callable
from typing import NotRequired, TypedDict, cast

import msgspec
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.http import EdgeError, Failure, answer_to, code_of

__all__ = ["DOCS", "ErrorEnvelope", "error_body", "error_context", "error_object", "unknown_url"]

DOCS = "docs/troubleshooting.md"
"""Where every code has its paragraph: a path in the checkout for as long as there is no site it could be an URL of."""


class ErrorContext(TypedDict):
    """Why nobody can serve now. `eta_seconds` until somebody can, null = nobody knows."""

    reason: str
    available_nodes: list[str]
    eta_seconds: float | None
    required_tier: str | None
    required: NotRequired[list[str]]
    available: NotRequired[list[str]]
    context_tokens: NotRequired[int]


class ErrorObject(TypedDict):
    """`code` is for programs, `message` for people; `docs` leads to the code's paragraph."""

    message: str
    type: str
    param: str | None
    code: str
    docs: str
    context: NotRequired[ErrorContext]


class ErrorEnvelope(TypedDict):
    """The body of every answer that failed."""

    error: ErrorObject


CAUSES: dict[Reason, str] = {
    Reason.BACKEND_DOWN: "unhealthy",
    Reason.MODEL_NOT_READY: "loading",
    Reason.OVERLOAD: "saturated",
    Reason.RATE_LIMIT: "rate_limited",
    Reason.DRAINING: "draining",
}
"""For failures that do not say it themselves."""


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


EXTRA: dict[str, Callable[[str], list[str] | float]] = {
    "required": _names,
    "available": _names,
    "context_tokens": int,
}
"""Keys that are only there when they say something."""


def error_context(error: MeshError, *, full: bool = False) -> ErrorContext | None:
    """The object, None when the failure is none of that kind. `full`: whether it may name hosts.

    {"reason": "saturated" | "absent" | "unhealthy" | "loading" | "rate_limited" | "forbidden_by_zone" | ...,
    "available_nodes": [hosts that could but for that], "eta_seconds": number | null, "required_tier": text | null}
    """
    facts = error.metadata
    cause = facts.get("reason") or CAUSES.get(error.reason)
    if cause is None:
        return None
    eta = facts.get("eta_seconds")
    context: ErrorContext = {
        "reason": cause,
        "available_nodes": _names(facts.get("available_nodes", "")) if full else [],
        "eta_seconds": float(eta) if eta is not None else error.retry_after,
        "required_tier": facts.get("required_tier"),
    }
    extra = {key: read(facts[key]) for key, read in EXTRA.items() if key in facts}
    return cast(ErrorContext, {**context, **extra})


def unknown_url() -> EdgeError:
    return EdgeError("unknown_url", "There is nothing at this URL. Try /v1/models or /v1/chat/completions.")


def error_object(error: Failure, *, mid_stream: bool = False, full: bool = False) -> ErrorObject:
    """The value of `error` in the envelope: all five keys, always; and `context` when nobody can serve now."""
    code = code_of(error, mid_stream=mid_stream)
    told: ErrorObject = {
        "message": error.message,
        "type": answer_to(error).type,
        "param": error.metadata.get("param") if isinstance(error, MeshError) else None,
        "code": code,
        "docs": f"{DOCS}#{code}",
    }
    context = error_context(error, full=full) if isinstance(error, MeshError) else None
    if context is not None:
        told["context"] = context
    return told


def error_body(error: Failure, full: bool = False) -> bytes:
    """The body of the answer to a failed request. `full`: to who may know of all hosts."""
    return msgspec.json.encode(ErrorEnvelope(error=error_object(error, full=full)))
