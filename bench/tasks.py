"""Durable operations a second of the task table, each acknowledged after its fsync, and their CPU time.

python -m bench.tasks [--tasks N] [--batch N] [--folder DIR | --postgres URL]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nexus_tasks import Claim, NewTask, TaskTable, open_tasks

PAYLOAD = b"x" * 300
CALLERS = (1, 4)
"""Who claim at the same time: alone each claim is a transaction; several share theirs."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.tasks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    parser.add_argument("--postgres", metavar="URL", help="an empty database instead of SQLite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-bench-tasks-", dir=arguments.folder) as folder:
        print(f"{arguments.tasks} tasks of {len(PAYLOAD)} bytes, batches of {arguments.batch}", end="; ")
        print(f"load average {os.getloadavg()[0]:.1f}")
        if not arguments.postgres:
            _measure_disk(Path(folder) / "fsync")
        where = arguments.postgres or Path(folder) / "tasks.db"
        for callers in CALLERS:
            asyncio.run(_measure(where, arguments.tasks, arguments.batch, callers))


def _measure_disk(path: Path, rounds: int = 200) -> None:
    """What one durable write of a page costs here: no store can be faster than a batch for each."""
    with path.open("wb") as file:
        before = time.perf_counter()
        for _ in range(rounds):
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
    print(f"  a page and its fdatasync  {1e3 * (time.perf_counter() - before) / rounds:8.2f} ms")


async def _measure(where: Path | str, tasks: int, batch: int, callers: int) -> None:
    print(f"  {callers} caller{'s' if callers > 1 else ''} at once")
    async with open_tasks(where) as table:
        work = [NewTask(tenant="bench", kind="bench", payload=PAYLOAD) for _ in range(tasks)]
        parts = [work[at : at + batch] for at in range(0, tasks, batch)]
        await _timed("enqueue", len(parts), batch, callers, lambda at: table.enqueue_all(parts[at]))
        claims: list[list[Claim]] = []

        async def claim(_: int) -> None:
            claims.append(await table.claim("bench", ["bench"], limit=batch, lease=600))

        await _timed("claim", len(parts), batch, callers, claim)
        assert sum(map(len, claims)) == tasks
        await _timed("renew", len(claims), batch, callers, lambda at: table.renew(claims[at], lease=600))
        await _timed("complete", len(claims), batch, callers, lambda at: _complete(table, claims[at]))
        await table.erase("bench")


async def _complete(table: TaskTable, claims: list[Claim]) -> None:
    await asyncio.gather(*(table.complete(claim, b"done") for claim in claims))


async def _timed(
    name: str, rounds: int, batch: int, callers: int, work: Callable[[int], Awaitable[object]]
) -> None:
    left = iter(range(rounds))
    took: list[float] = []

    async def caller() -> None:
        for at in left:
            before = time.perf_counter()
            await work(at)
            took.append(time.perf_counter() - before)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    took.sort()
    print(
        f"    {name:9} {rounds * batch / wall:9,.0f} a second   p95 of a batch {1e3 * took[rounds * 95 // 100]:7.2f} ms"
        f"   CPU {1e6 * cpu / rounds / batch:6.1f} us a task"
    )


if __name__ == "__main__":
    main()
