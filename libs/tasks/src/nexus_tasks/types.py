"""What goes into the table and what comes out. Times are seconds since 1970; payloads and results never print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["FINAL", "Changes", "Claim", "Counts", "NewTask", "State", "Task"]


class State(IntEnum):
    """Where a task is in its life. The numbers are stored."""

    WAITING = 0
    """For its time: `run_after`, or the delay before another attempt."""
    READY = 1
    RUNNING = 2
    """A worker has it until `lease_until`."""
    SUCCEEDED = 3
    FAILED = 4
    """No more attempts: the last `reason` says why. It stays as it is until it is redriven or pruned."""
    CANCELLED = 5


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """Work to be accepted."""

    tenant: str
    """1 to 255 characters; whose it is. No call that names a tenant sees a task of another."""
    kind: str
    """1 to 63 characters; workers claim by kind."""
    payload: bytes = field(default=b"", repr=False)
    """At most 1 MiB. What is larger belongs into a store; its name goes here."""
    key: str | None = None
    """Idempotency key, unique for tenant and kind while the task is kept; None: each call makes a task."""
    group: str = ""
    """What it is a part of (a batch, a job), so that all of it is listed, counted and cancelled at once."""
    priority: int = 0
    """Lower goes first; -32768 to 32767. Equal ones go by time."""
    run_after: float | None = None
    """Not before; None: at once."""
    deadline: float | None = None
    """It fails with reason DEADLINE if it is not finished by then, and no worker gets it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row without its payload and result."""

    id: int
    tenant: str
    kind: str
    key: str | None
    group: str
    priority: int
    state: State
    attempt: int
    """How often it was claimed."""
    epoch: int
    """Of the last claim; grows, also when a lease is lost and when it is redriven."""
    worker: str
    """Who has it, or had it last."""
    lease_until: float | None
    run_after: float
    deadline: float | None
    progress: float
    """0 to 1, as its worker says."""
    message: str
    """What its worker says beside it; after a failure, why."""
    reason: str
    """Of the last failure: a MeshError's, WORKER_LOST, DEADLINE, or what its worker calls it. Empty: none."""
    create_time: float
    finish_time: float | None
    revision: int
    """Grows with each change of any task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to work on a task until `lease_until`. What its holder writes counts only while nobody took it."""

    id: int
    epoch: int
    """The fencing token: grows over all claims of the table. A store that the worker writes to can refuse older."""
    tenant: str
    kind: str
    group: str
    attempt: int
    """1 the first time."""
    worker: str
    lease_until: float
    deadline: float | None
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Changes:
    """Tasks as they are now, each once, in the order of their last change; `cursor` goes into the next call."""

    tasks: tuple[Task, ...]
    cursor: str


Counts = Mapping[State, int]
