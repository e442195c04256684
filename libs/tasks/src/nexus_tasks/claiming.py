"""Who works on what: claims under a lease, renewals, and what becomes of a lease that ran out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from nexus_database import Session

from nexus_tasks.retries import DEADLINE, WORKER_LOST, Retries, delay
from nexus_tasks.types import Claim, State

__all__ = ["Sweeper", "claim", "release", "renew"]

AT_ONCE = 1000
"""Rows that one sweep moves, so that no transaction grows without bound; the next one goes on."""

STALE = """
SELECT EXISTS (SELECT 1 FROM tasks WHERE state = 0 AND run_after <= ?),
    EXISTS (SELECT 1 FROM tasks WHERE state = 2 AND lease_until <= ?),
    EXISTS (SELECT 1 FROM tasks WHERE state < 3 AND deadline IS NOT NULL AND deadline <= ?)"""
DUE = f"SELECT id FROM tasks WHERE state = 0 AND run_after <= ? ORDER BY run_after LIMIT {AT_ONCE}"
LOST = (
    f"SELECT id, attempt FROM tasks WHERE state = 2 AND lease_until <= ? ORDER BY lease_until LIMIT {AT_ONCE}"
)
LATE = (
    "SELECT id FROM tasks WHERE state < 3 AND deadline IS NOT NULL AND deadline <= ? "
    f"ORDER BY deadline LIMIT {AT_ONCE}"
)
AGAIN = """
UPDATE tasks SET state = ?, epoch = ?, lease_until = NULL, run_after = ?, reason = ?, message = ?, revision = ?
WHERE id = ?"""
OVER = """
UPDATE tasks SET state = 4, epoch = ?, lease_until = NULL, finish_time = ?, reason = ?, message = ?, revision = ?
WHERE id = ?"""
LOST_MESSAGE = "Its worker was not heard of until its lease ran out."
LATE_MESSAGE = "It was not finished by its deadline."


class Sweeper:
    """What time alone does to tasks. Each claim runs it first, so no process of its own is needed for it."""

    def __init__(self, retries: Retries, random: Callable[[], float]) -> None:
        self._retries = retries
        self._random = random

    def sweep(self, session: Session) -> None:
        """Once for a transaction."""
        if session.swept:
            return
        session.swept = True
        due, lost, late = session.driver.rows(STALE, (session.now,) * 3)[0]
        if late:
            self._fail_late(session)
        if lost:
            self._take_back(session)
        if due:
            ids = self._locked(session, DUE)
            driver = session.driver
            driver.run(
                f"UPDATE tasks SET state = 1, revision = ? WHERE {driver.among('id')}",
                (session.revision, driver.array(ids)),
            )

    def _fail_late(self, session: Session) -> None:
        for number in self._locked(session, LATE):
            over = (session.revision, session.now, DEADLINE, LATE_MESSAGE, session.revision, number)
            session.driver.run(OVER, over)

    def _take_back(self, session: Session) -> None:
        for number, attempt in session.driver.rows(LOST + session.driver.locking, (session.now,)):
            self.again(session, number, attempt, session.revision, WORKER_LOST, LOST_MESSAGE, 0.0)

    def again(
        self, session: Session, number: int, attempt: int, epoch: int, reason: str, message: str, after: float
    ) -> State:
        """Gives a failed task another attempt, or none, as the table of retries says."""
        wait = delay(self._retries, reason, attempt, after, self._random)
        if wait is None:
            session.driver.run(OVER, (epoch, session.now, reason, message, session.revision, number))
            return State.FAILED
        state = State.WAITING if wait > 0 else State.READY
        row = (int(state), epoch, session.now + wait, reason, message, session.revision, number)
        session.driver.run(AGAIN, row)
        return state

    def _locked(self, session: Session, statement: str) -> list[int]:
        return [
            int(row[0]) for row in session.driver.rows(statement + session.driver.locking, (session.now,))
        ]


READY = """
SELECT priority, run_after, id FROM tasks WHERE kind = ? AND state = 1 AND (deadline IS NULL OR deadline > ?)"""
URGENT = " ORDER BY priority, run_after, id LIMIT ?"
CANDIDATES = READY + URGENT
TAKEN = "id, epoch, tenant, kind, grouping_name, attempt, worker, lease_until, deadline"


def claim(
    session: Session,
    worker: str,
    kinds: Sequence[str],
    limit: int,
    lease: float,
    passing: Collection[str] = (),
) -> list[Claim]:
    """Up to `limit` tasks, the most urgent first, of all tenants but those passed over."""
    driver = session.driver
    but = f" AND tenant NOT IN ({', '.join('?' * len(passing))})" if passing else ""
    statement = READY + but + URGENT + driver.locking
    found = [driver.rows(statement, (kind, session.now, *passing, limit)) for kind in kinds]
    chosen = [int(row[2]) for row in heapq.merge(*found)][:limit]
    if not chosen:
        return []
    ids = driver.array(chosen)
    rows = driver.rows(
        "UPDATE tasks SET state = 2, epoch = ?, attempt = attempt + 1, worker = ?, lease_until = ?, "
        f"progress = 0.0, revision = ? WHERE {driver.among('id')} RETURNING {TAKEN}",
        (session.revision, worker, session.now + lease, session.revision, ids),
    )
    payloads = dict(driver.rows(f"SELECT id, payload FROM task_payloads WHERE {driver.among('id')}", (ids,)))
    claims = {
        number: Claim(
            id=number,
            epoch=epoch,
            tenant=tenant,
            kind=kind,
            group=group,
            attempt=attempt,
            worker=holder,
            lease_until=until,
            deadline=deadline,
            payload=bytes(payloads[number]),
        )
        for number, epoch, tenant, kind, group, attempt, holder, until, deadline in rows
    }
    return [claims[number] for number in chosen]


RENEW = "UPDATE tasks SET lease_until = ? WHERE id = ? AND epoch = ? AND state = 2 RETURNING id"
RELEASE = """
UPDATE tasks SET state = 1, attempt = attempt - 1, lease_until = NULL, run_after = ?, revision = ?
WHERE id = ? AND epoch = ? AND state = 2 RETURNING id"""


def renew(session: Session, claims: Sequence[Claim], lease: float) -> list[Claim]:
    """Those that are still held, with their new lease."""
    until, asked = session.now + lease, _in_order(claims)
    changed = session.driver.returning(RENEW, [(until, one.id, one.epoch) for one in asked])
    return [replace(one, lease_until=until) for one, rows in zip(asked, changed, strict=True) if rows]


def release(session: Session, claims: Sequence[Claim]) -> int:
    """How many went back as if they had not been claimed."""
    each = [(session.now, session.revision, one.id, one.epoch) for one in _in_order(claims)]
    return sum(map(len, session.driver.returning(RELEASE, each)))


def _in_order(claims: Sequence[Claim]) -> list[Claim]:
    """As everybody takes them, so that no two wait for each other."""
    return sorted(claims, key=lambda one: one.id)
