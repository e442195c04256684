"""How a task ends or goes on: what its worker says, and what its owner wants."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_database import Session
from nexus_mesh.core import MeshError, Reason

from nexus_tasks import accepting
from nexus_tasks.claiming import Sweeper
from nexus_tasks.types import Claim, NewTask, State

__all__ = ["cancel", "complete", "fail", "progress", "redrive"]

HELD = "SELECT state, attempt FROM tasks WHERE id = ? AND epoch = ?"
COMPLETE = """
UPDATE tasks SET state = 3, lease_until = NULL, finish_time = ?, progress = 1.0, reason = '', message = '', revision = ?
WHERE id = ? AND epoch = ? AND state = 2"""


def complete(
    session: Session, claim: Claim, result: bytes | None, then: Sequence[NewTask]
) -> list[int] | None:
    """The ids of `then`; None when it was completed by this very claim before, which changes nothing."""
    prepared = accepting.prepare(session, then)
    if not session.driver.run(COMPLETE, (session.now, session.revision, claim.id, claim.epoch)):
        state = _state(session, claim)
        if state is State.SUCCEEDED:
            return None
        raise _taken(claim)
    if result is not None:
        session.driver.run("INSERT INTO task_results (id, result) VALUES (?, ?)", (claim.id, result))
    return prepared.insert(session)


def fail(
    session: Session, sweeper: Sweeper, claim: Claim, reason: str, message: str, retry_after: float
) -> State:
    """What it is now: WAITING or READY for another attempt, or FAILED. Said twice by one claim it counts once."""
    state = _state(session, claim)
    if state is not State.RUNNING:
        if state is None or state in (State.SUCCEEDED, State.CANCELLED):
            raise _taken(claim)
        return state
    return sweeper.again(session, claim.id, claim.attempt, claim.epoch, reason, message, retry_after)


PROGRESS = "UPDATE tasks SET progress = ?, message = ?, revision = ? WHERE id = ? AND epoch = ? AND state = 2"


def progress(session: Session, claim: Claim, done: float, message: str) -> None:
    if not session.driver.run(PROGRESS, (done, message, session.revision, claim.id, claim.epoch)):
        raise _taken(claim)


def _state(session: Session, claim: Claim) -> State | None:
    locking = " FOR UPDATE" if session.driver.locking else ""
    found = session.driver.rows(HELD + locking, (claim.id, claim.epoch))
    return State(found[0][0]) if found else None


def _taken(claim: Claim) -> MeshError:
    return MeshError(
        Reason.CONFLICT,
        f"Task {claim.id} is no longer this worker's: its lease ran out, or it was cancelled. "
        "Nothing was changed; drop what was done for it.",
        metadata={"task": str(claim.id), "epoch": str(claim.epoch)},
    )


CANCEL = """
UPDATE tasks SET state = 5, lease_until = NULL, finish_time = ?, revision = ?
WHERE state < 3 AND tenant = ? AND """
REDRIVE = """
UPDATE tasks SET state = 1, epoch = ?, attempt = 0, run_after = ?, deadline = ?, finish_time = NULL, revision = ?
WHERE id = ? AND tenant = ? AND state = 4"""


def cancel(session: Session, tenant: str, ids: Sequence[int] | None, group: str | None) -> int:
    """How many were open and are not any more."""
    driver = session.driver
    statement = CANCEL + (driver.among("id") if ids is not None else "grouping_name = ?")
    chosen = driver.array(ids) if ids is not None else group
    return driver.run(statement, (session.now, session.revision, tenant, chosen))


def redrive(session: Session, tenant: str, number: int, deadline: float | None) -> None:
    row = (session.revision, session.now, deadline, session.revision, number, tenant)
    if not session.driver.run(REDRIVE, row):
        raise MeshError(
            Reason.CONFLICT,
            f"There is no failed task {number} here: only one that failed can be driven again.",
            metadata={"task": str(number)},
        )
