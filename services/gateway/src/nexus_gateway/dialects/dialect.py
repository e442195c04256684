"""What a family of clients speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nexus_gateway.http import Handler, Row, SayError

__all__ = ["Dialect", "reading"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Its URLs, and the body that tells its clients of a failure."""

    rows: Sequence[Row]
    say_error: SayError


def reading(handler: Handler) -> Mapping[str, Handler]:
    """What may be read, by GET and HEAD."""
    return {"GET": handler, "HEAD": handler}
