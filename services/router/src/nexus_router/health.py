"""Hysteresis: a target falls at once, and rises the later the more often it fell."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

from nexus.registry.v1 import instance_pb2 as registry

WINDOW_SECONDS = 60.0
# How long a target must look well before it is believed, in seconds, by its falls within the window.
HOLDS = (0.0, 1.0, 3.0, 30.0)

State = registry.State


@dataclass(slots=True)
class _Record:
    """`falls`: when it went from usable to unhealthy. `well_since`: None unless it looks well."""

    falls: deque[float] = field(default_factory=lambda: deque(maxlen=len(HOLDS) - 1))
    usable: bool = False
    held: bool = False
    well_since: float | None = None
    seen: float = 0.0


class Health:
    """Verdicts by target id. Times are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._due: dict[str, float] = {}

    def judge(self, target_id: str, state: State, reason: str, now: float) -> tuple[State, str]:
        """The verdict on a target that reports this state now, and why it is not ACTIVE."""
        record = self._records.setdefault(target_id, _Record())
        record.seen = now
        self._due.pop(target_id, None)
        if state != registry.STATE_ACTIVE:
            self._sink(record, state, now)
            return state, reason
        if record.well_since is None:
            record.well_since = now
        hold = HOLDS[sum(fall > now - WINDOW_SECONDS for fall in record.falls)] if record.held else 0.0
        due = record.well_since + hold
        if now >= due:
            record.usable, record.held = True, False
            return registry.STATE_ACTIVE, ""
        self._due[target_id] = due
        return registry.STATE_UNHEALTHY, f"answers again, and is used after {hold:g} s without a failure"

    def is_held(self, target_id: str) -> bool:
        """Whether it looks well and has only not done so for long enough."""
        return target_id in self._due

    def believe(self, target_id: str) -> None:
        """It is used before its time is up: should it fail meanwhile, that counts as a fall."""
        self._records[target_id].usable = True

    def next_due(self) -> float | None:
        """When the next verdict may change without a report."""
        return min(self._due.values(), default=None)

    def forget(self, instances: Container[str], now: float) -> None:
        """Called after judging all there are: drops who has been gone for a whole window.

        Targets of instances that left are dropped at once: leaving is no failure.
        """
        for target_id, record in tuple(self._records.items()):
            if record.seen == now:
                continue
            self._due.pop(target_id, None)
            instance_id, _, _ = target_id.partition("#")
            if instance_id not in instances or record.seen < now - WINDOW_SECONDS:
                del self._records[target_id]

    def _sink(self, record: _Record, state: State, now: float) -> None:
        if state == registry.STATE_UNHEALTHY:
            if record.usable:
                record.falls.append(now)
            record.held = True
        record.usable, record.well_since = False, None
