"""Taking work in: checked, and once for each idempotency key."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from nexus_database import CollisionError, Session
from nexus_mesh.core import MeshError, Reason

from nexus_tasks.types import NewTask, State

__all__ = ["MAX_PAYLOAD", "MAX_TEXT", "Prepared", "check", "check_text", "prepare"]

MAX_PAYLOAD = 1 << 20
"""Bytes of one payload or result."""
MAX_TEXT = 1000
"""Characters of a message, a key, a group."""
LENGTHS = {"tenant": (1, 255), "kind": (1, 63), "key": (1, MAX_TEXT), "group": (0, MAX_TEXT)}
PRIORITIES = range(-(1 << 15), 1 << 15)


def check(tasks: Iterable[NewTask]) -> None:
    """Raises INVALID_REQUEST or REQUEST_TOO_LARGE for what no database could keep or no worker could take."""
    for task in tasks:
        for name, (least, most) in LENGTHS.items():
            text: str | None = getattr(task, name)
            if text is not None:
                check_text(f"A task's {name}", text, least, most)
        if task.priority not in PRIORITIES:
            raise MeshError(
                Reason.INVALID_REQUEST, f"A task's priority is {PRIORITIES[0]} to {PRIORITIES[-1]}."
            )
        if not all(math.isfinite(time or 0.0) for time in (task.run_after, task.deadline)):
            raise MeshError(Reason.INVALID_REQUEST, "A task's run_after and deadline are seconds since 1970.")
        if len(task.payload) > MAX_PAYLOAD:
            raise MeshError(
                Reason.REQUEST_TOO_LARGE,
                f"A task's payload has at most {MAX_PAYLOAD} bytes, this one {len(task.payload)}: store it "
                "elsewhere and give its name.",
            )


def check_text(name: str, text: str, least: int = 0, most: int = MAX_TEXT) -> None:
    """Raises INVALID_REQUEST unless both databases keep it as it is."""
    if not least <= len(text) <= most:
        raise MeshError(Reason.INVALID_REQUEST, f"{name} has {least} to {most} characters, not {len(text)}.")
    if "\x00" in text or (not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text)):
        raise MeshError(Reason.INVALID_REQUEST, f"{name} has a character that is no text.")


Twin = tuple[str, str, str]
"""Tenant, kind, idempotency key."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tasks of one call, of which some may be there already."""

    tasks: Sequence[NewTask]
    known: dict[Twin, int]

    def insert(self, session: Session) -> list[int]:
        """The ids, in order. Raises CollisionError when another process was faster."""
        fresh: dict[Twin | int, NewTask] = {}
        for index, task in enumerate(self.tasks):
            twin = _twin(task)
            if twin is None or twin not in self.known:
                fresh.setdefault(index if twin is None else twin, task)
        made = _insert(session, fresh.values()) if fresh else []
        ids = {**self.known, **dict(zip(fresh, made, strict=True))}
        return [ids[_twin(task) or index] for index, task in enumerate(self.tasks)]


def prepare(session: Session, tasks: Sequence[NewTask]) -> Prepared:
    """Writes nothing. Raises CONFLICT for a key that stands for other work."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        if task.key is not None:
            wanted.setdefault((task.tenant, task.kind), []).append(task.key)
    driver, known, digests = session.driver, dict[Twin, int](), dict[Twin, bytes]()
    for (tenant, kind), keys in wanted.items():
        found = driver.rows(
            "SELECT idempotency_key, id, digest FROM tasks WHERE tenant = ? AND kind = ? AND "
            + driver.among("idempotency_key"),
            (tenant, kind, driver.array(keys)),
        )
        for key, number, digest in found:
            known[tenant, kind, key], digests[tenant, kind, key] = number, bytes(digest)
    for task in tasks:
        twin = _twin(task)
        if twin is not None and digests.setdefault(twin, _digest(task)) != _digest(task):
            raise MeshError(
                Reason.CONFLICT,
                f"The idempotency key {task.key!r} stands for other work already: "
                "send what it was first sent with, or take another key.",
                metadata={"key": twin[-1]},
            )
    return Prepared(tasks, known)


def _twin(task: NewTask) -> Twin | None:
    return None if task.key is None else (task.tenant, task.kind, task.key)


def _digest(task: NewTask) -> bytes:
    """Of what the work is. Priority and times may differ when a caller tries again."""
    group = task.group.encode()
    return hashlib.sha256(len(group).to_bytes(4) + group + task.payload).digest()


INSERT = """
INSERT INTO tasks (tenant, kind, idempotency_key, digest, grouping_name, priority, state, attempt, epoch, worker,
    run_after, deadline, progress, message, reason, create_time, revision)
VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, '', ?, ?, 0.0, '', '', ?, ?)
ON CONFLICT (tenant, kind, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id"""


def _insert(session: Session, tasks: Collection[NewTask]) -> list[int]:
    driver = session.driver
    made = driver.returning(INSERT, [_row(session, task) for task in tasks])
    if not all(made):
        raise CollisionError
    ids = [int(rows[0][0]) for rows in made]
    payloads = [(number, task.payload) for number, task in zip(ids, tasks, strict=True)]
    driver.many("INSERT INTO task_payloads (id, payload) VALUES (?, ?)", payloads)
    return ids


def _row(session: Session, task: NewTask) -> Sequence[object]:
    run_after = session.now if task.run_after is None else float(task.run_after)
    return (
        task.tenant,
        task.kind,
        task.key,
        None if task.key is None else _digest(task),
        task.group,
        task.priority,
        int(State.WAITING if run_after > session.now else State.READY),
        run_after,
        None if task.deadline is None else float(task.deadline),
        session.now,
        session.revision,
    )
