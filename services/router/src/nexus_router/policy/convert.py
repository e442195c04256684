"""Between policies and the messages of their contract."""

from __future__ import annotations

from nexus.router.v1 import policy_pb2 as pb

from nexus_router.policy import text
from nexus_router.policy.record import Record
from nexus_router.policy.shelf import Policy

__all__ = ["checked", "policy", "revision"]


def policy(given: Policy, *, in_force: bool) -> pb.Policy:
    """A policy with its history; with its etag only when it is the one that a change replaces."""
    return pb.Policy(
        revision=pb.Revision() if given.record is None else revision(given.number, given.record),
        json=text.canonical(given.routing),
        etag=given.etag if in_force else "",
    )


def checked(given: Policy) -> pb.Policy:
    """One that is in force nowhere."""
    return pb.Policy(json=text.canonical(given.routing))


def revision(number: int, entry: Record | str) -> pb.Revision:
    """A revision without its policy, or why it cannot be used."""
    if isinstance(entry, str):
        return pb.Revision(number=number, problem=entry)
    made = pb.Revision(number=number, author=entry.author, comment=entry.comment, reset=entry.policy is None)
    made.create_time.FromDatetime(entry.time)
    return made
