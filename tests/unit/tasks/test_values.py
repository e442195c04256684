"""What the table keeps and what it refuses, and that payloads are told to nobody."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from nexus_database.sqlite import Sqlite
from nexus_mesh.core import MeshError, Reason
from nexus_tasks import Claim, NewTask, TaskTable
from nexus_tasks.accepting import MAX_PAYLOAD
from nexus_tasks.schema import SCHEMA
from support.task_tables import KIND, Clock, new, opened

FULL = 2
SECRET = b"a secret of the tenant"


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (new(tenant=""), "tenant"),
        (new(tenant="t" * 256), "tenant"),
        (new(kind=""), "kind"),
        (new(key=""), "key"),
        (new(key="\x00"), "key"),
        (new(group="\ud800"), "group"),
        (new(group="g" * 1001), "group"),
        (new(priority=40_000), "priority"),
        (new(run_after=float("nan")), "run_after"),
        (new(deadline=float("inf")), "deadline"),
    ],
)
async def test_a_value_that_cannot_be_kept_is_refused_by_name(
    tmp_path: Path, task: NewTask, named: str
) -> None:
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        with pytest.raises(MeshError, match=named) as refused:
            await table.enqueue_all([new(), task])
        assert refused.value.reason == Reason.INVALID_REQUEST
        assert sum((await table.counts()).values()) == 0


async def test_a_payload_and_a_result_have_a_limit(tmp_path: Path) -> None:
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        with pytest.raises(MeshError, match="store it elsewhere") as refused:
            await table.enqueue(new(bytes(MAX_PAYLOAD + 1)))
        assert refused.value.reason == Reason.REQUEST_TOO_LARGE
        await table.enqueue(new(bytes(MAX_PAYLOAD)))
        (claim,) = await table.claim("w", [KIND])
        with pytest.raises(MeshError, match="store it elsewhere"):
            await table.complete(claim, bytes(MAX_PAYLOAD + 1))


async def refusals(table: TaskTable, claim: Claim) -> list[MeshError]:
    calls = (
        lambda: table.claim("", [KIND]),
        lambda: table.claim("w", [KIND], limit=0),
        lambda: table.claim("w", [KIND], limit=1001),
        lambda: table.claim("w", [KIND], lease=0),
        lambda: table.renew([claim], lease=float("nan")),
        lambda: table.progress(claim, 1.1),
        lambda: table.progress(claim, 0.5, "m" * 1001),
        lambda: table.fail(claim, ""),
        lambda: table.fail(claim, "x", retry_after=-1),
        lambda: table.cancel("t"),
        lambda: table.cancel("t", ids=[1], group="g"),
        lambda: table.changes("not a cursor"),
        lambda: table.listed("t", limit=0),
    )
    found: list[MeshError] = []
    for call in calls:
        with pytest.raises(MeshError) as refused:
            await call()
        found.append(refused.value)
    return found


async def test_each_call_checks_what_it_is_given(tmp_path: Path) -> None:
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        await table.enqueue(new())
        (claim,) = await table.claim("w", [KIND])
        for refusal in await refusals(table, claim):
            assert refusal.reason == Reason.INVALID_REQUEST


async def test_payloads_do_not_print(tmp_path: Path) -> None:
    assert SECRET.decode() not in repr(new(SECRET))
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        await table.enqueue(new(SECRET))
        (claim,) = await table.claim("w", [KIND])
        assert claim.payload == SECRET
        assert SECRET.decode() not in repr(claim)


def test_each_commit_is_synced(tmp_path: Path) -> None:
    driver = Sqlite(tmp_path / "tasks.db", SCHEMA)
    driver.begin()
    driver.commit()
    said = [driver.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "secure_delete")]
    driver.close()
    assert said == ["wal", FULL, 1]


async def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        await table.enqueue(new())
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_a_closed_table_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path / "tasks.db", Clock()) as table:
        pass
    for call in (table.enqueue(new()), table.counts()):
        with pytest.raises(MeshError) as refused:
            await call
        assert refused.value.reason == Reason.DRAINING
