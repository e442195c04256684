"""Looking at tasks, and taking them out of the table."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_database import Driver, Row, Session
from nexus_mesh.core import MeshError, Reason

from nexus_tasks.types import Changes, State, Task

__all__ = ["changes", "counts", "delete", "erase", "find", "get", "listed", "payload", "prune", "result"]

LAST = 2**63 - 1
"""Above any id."""
COLUMNS = (
    "id, tenant, kind, idempotency_key, grouping_name, priority, state, attempt, epoch, worker, lease_until, "
    "run_after, deadline, progress, message, reason, create_time, finish_time, revision"
)


def _task(row: Row) -> Task:
    (
        number, tenant, kind, key, group, priority, state, attempt, epoch, worker, lease_until,
        run_after, deadline, progress, message, reason, create_time, finish_time, revision,
    ) = row  # fmt: skip
    return Task(
        id=number,
        tenant=tenant,
        kind=kind,
        key=key,
        group=group,
        priority=priority,
        state=State(state),
        attempt=attempt,
        epoch=epoch,
        worker=worker,
        lease_until=lease_until,
        run_after=run_after,
        deadline=deadline,
        progress=progress,
        message=message,
        reason=reason,
        create_time=create_time,
        finish_time=finish_time,
        revision=revision,
    )


def _where(**given: object) -> tuple[str, list[object]]:
    """A condition of those columns that are not None."""
    there = {name: value for name, value in given.items() if value is not None}
    return "".join(f" AND {name} = ?" for name in there), list(there.values())


def get(driver: Driver, tenant: str, number: int) -> Task:
    found = driver.rows(f"SELECT {COLUMNS} FROM tasks WHERE id = ? AND tenant = ?", (number, tenant))
    if not found:
        raise _unknown(number)
    return _task(found[0])


def find(driver: Driver, tenant: str, kind: str, key: str) -> Task:
    found = driver.rows(
        f"SELECT {COLUMNS} FROM tasks WHERE tenant = ? AND kind = ? AND idempotency_key = ?",
        (tenant, kind, key),
    )
    if not found:
        raise MeshError(Reason.OBJECT_NOT_FOUND, "There is no task with this key here.")
    return _task(found[0])


def payload(driver: Driver, tenant: str, number: int) -> bytes:
    found = driver.rows(
        "SELECT payload FROM task_payloads JOIN tasks USING (id) WHERE id = ? AND tenant = ?",
        (number, tenant),
    )
    if not found:
        raise _unknown(number)
    return bytes(found[0][0])


def result(driver: Driver, tenant: str, number: int) -> bytes | None:
    found = driver.rows(
        "SELECT result FROM tasks LEFT JOIN task_results USING (id) WHERE id = ? AND tenant = ?",
        (number, tenant),
    )
    if not found:
        raise _unknown(number)
    return None if found[0][0] is None else bytes(found[0][0])


def _unknown(number: int) -> MeshError:
    return MeshError(
        Reason.OBJECT_NOT_FOUND, f"There is no task {number} here.", metadata={"task": str(number)}
    )


def listed(
    driver: Driver,
    tenant: str,
    group: str | None,
    state: State | None,
    after: int,
    limit: int,
    *,
    newest_first: bool,
) -> list[Task]:
    also, values = _where(grouping_name=group, state=None if state is None else int(state))
    behind, order = ("<", "id DESC") if newest_first else (">", "id")
    where = f"tenant = ? AND id {behind} ?{also}"
    begin = LAST if newest_first and not after else after
    statement = f"SELECT {COLUMNS} FROM tasks WHERE {where} ORDER BY {order} LIMIT ?"
    return [_task(row) for row in driver.rows(statement, (tenant, begin, *values, limit))]


def counts(driver: Driver, tenant: str | None, group: str | None, kind: str | None) -> dict[State, int]:
    also, values = _where(tenant=tenant, grouping_name=group, kind=kind)
    found = driver.rows(f"SELECT state, count(*) FROM tasks WHERE 1 = 1{also} GROUP BY state", values)
    return dict.fromkeys(State, 0) | {State(state): int(number) for state, number in found}


def changes(
    driver: Driver, cursor: str, tenant: str | None, group: str | None, kind: str | None, limit: int
) -> Changes:
    revision, number = _parsed(cursor)
    horizon = driver.horizon()  # before the rows: what ends in between comes with the next call
    also, values = _where(tenant=tenant, grouping_name=group, kind=kind)
    found = driver.rows(
        f"SELECT {COLUMNS} FROM tasks WHERE (revision, id) > (?, ?) AND revision < ?{also} "
        "ORDER BY revision, id LIMIT ?",
        (revision, number, horizon, *values, limit),
    )
    tasks = tuple(_task(row) for row in found)
    return Changes(tasks, f"{tasks[-1].revision}:{tasks[-1].id}" if tasks else cursor)


def _parsed(cursor: str) -> tuple[int, int]:
    revision, _, number = cursor.partition(":")
    if not cursor:
        return -1, -1
    if not (revision.isdecimal() and number.isdecimal() and len(cursor) < 40):
        raise MeshError(Reason.INVALID_REQUEST, "That is no cursor of this table: begin with an empty one.")
    return int(revision), int(number)


PARTS = ("task_payloads", "task_results", "tasks")


def delete(session: Session, tenant: str, number: int) -> None:
    session.scrub = True
    if not _delete(session, "SELECT id FROM tasks WHERE tenant = ? AND id = ?", (tenant, number)):
        raise _unknown(number)


def erase(session: Session, tenant: str, limit: int) -> int:
    """How many of at most `limit` tasks of the tenant went, open ones too."""
    session.scrub = True
    return _delete(session, "SELECT id FROM tasks WHERE tenant = ? LIMIT ?", (tenant, limit))


def prune(session: Session, before: float, tenant: str | None, kind: str | None, limit: int) -> int:
    """How many of at most `limit` tasks went that were final before that time."""
    also, values = _where(tenant=tenant, kind=kind)
    chosen = f"SELECT id FROM tasks WHERE finish_time IS NOT NULL AND finish_time < ?{also} LIMIT ?"
    return _delete(session, chosen, (before, *values, limit))


def _delete(session: Session, chosen: str, values: Sequence[object]) -> int:
    driver = session.driver
    waiting = " FOR UPDATE" if driver.locking else ""  # a row that is claimed just now is not left out
    ids = [int(row[0]) for row in driver.rows(chosen + waiting, values)]
    if ids:
        for part in PARTS:
            driver.run(f"DELETE FROM {part} WHERE {driver.among('id')}", (driver.array(ids),))
    return len(ids)
