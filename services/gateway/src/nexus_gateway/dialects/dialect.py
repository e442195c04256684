"""What a family of clients speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nexus_gateway.http import Handler, Row, SayError

__all__ = ["Dialect", "ModelRow", "reading"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Its URLs, and the body that tells its clients of a failure."""

    rows: Sequence[Row]
    say_error: SayError


def reading(handler: Handler) -> Mapping[str, Handler]:
    """What may be read, by GET and HEAD."""
    return {"GET": handler, "HEAD": handler}


class ModelRow(Protocol):
    """A routable model. `created` is in Unix seconds; `parameters` has JSON Schemas by operation."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def owned_by(self) -> str: ...
    @property
    def operations(self) -> frozenset[int]: ...
    @property
    def parameters(self) -> tuple[tuple[int, str], ...]: ...
