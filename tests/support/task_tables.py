"""Task tables with a clock that stands until it is moved."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from nexus_tasks import RETRIES, NewTask, Retries, TaskTable, open_tasks

__all__ = ["KIND", "TENANT", "Clock", "new", "opened"]

TENANT, KIND = "acme", "draw"
START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


def opened(
    where: Path | str, clock: Clock, retries: Retries = RETRIES
) -> AbstractAsyncContextManager[TaskTable]:
    """Without jitter."""
    return open_tasks(where, clock=clock, retries=retries, jitter=lambda: 0.5)


def new(
    payload: bytes = b"",
    *,
    tenant: str = TENANT,
    kind: str = KIND,
    key: str | None = None,
    group: str = "",
    priority: int = 0,
    run_after: float | None = None,
    deadline: float | None = None,
) -> NewTask:
    return NewTask(
        tenant=tenant, kind=kind, payload=payload, key=key, group=group, priority=priority, run_after=run_after,
        deadline=deadline,
    )  # fmt: skip
