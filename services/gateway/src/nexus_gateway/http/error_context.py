"""`error.context`: why nobody can serve a request now, in words for programs."""

from __future__ import annotations

from collections.abc import Callable

from nexus_mesh.core import MeshError, Reason

__all__ = ["ErrorContext", "error_context"]

ErrorContext = dict[str, str | float | list[str] | None]

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
    return context | {key: read(facts[key]) for key, read in EXTRA.items() if key in facts}
