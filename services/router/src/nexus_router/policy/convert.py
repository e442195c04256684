"""Between policies and the messages of their contract; the history in pages: a token names the last revision seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from nexus.router.v1 import policy_pb2 as pb
from nexus_mesh.rpc import number_in, page_size, token_of

from nexus_router.policy import text
from nexus_router.policy.files import Record
from nexus_router.policy.store import Revision

__all__ = ["checked", "page", "policy", "revision"]

T = TypeVar("T")

LABEL = "revisions"


def policy(given: Revision, *, in_force: bool) -> pb.Policy:
    """A policy with its history; with its etag only when it is the one that a change replaces."""
    return pb.Policy(
        revision=pb.Revision() if given.record is None else revision(given.number, given.record),
        json=text.canonical(given.policy),
        etag=given.etag if in_force else "",
    )


def checked(given: Revision) -> pb.Policy:
    """One that is in force nowhere."""
    return pb.Policy(json=text.canonical(given.policy))


def revision(number: int, entry: Record | str) -> pb.Revision:
    """A revision without its policy, or why it cannot be used."""
    if isinstance(entry, str):
        return pb.Revision(number=number, problem=entry)
    made = pb.Revision(number=number, author=entry.author, comment=entry.comment, reset=entry.policy is None)
    made.create_time.FromDatetime(entry.time)
    return made


def page(history: Sequence[tuple[int, T]], size: int, token: str) -> tuple[Sequence[tuple[int, T]], str]:
    """One page of a history (newest first) and the token of the next (or ""). Raises INVALID_REQUEST."""
    limit = page_size(size)
    below = number_in(token, LABEL) if token else None
    rest = [entry for entry in history if below is None or entry[0] < below]
    chosen = rest[:limit]
    return chosen, token_of(LABEL, str(chosen[-1][0])) if len(rest) > limit else ""
