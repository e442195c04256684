"""Run as a program: fills the disk under a task table, makes room again, and prints what it was told and what is left.

disk_child.py FOLDER limit|ballast: what fills is a limit on the size of files, or the file system that FOLDER is.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from nexus_mesh.core import MeshError
from nexus_tasks import TaskTable, open_tasks
from support.task_tables import KIND, TENANT, new

LIMIT = 1 << 20
PAYLOAD = 20_000


def payload(number: int) -> bytes:
    return b"%08d" % number * (PAYLOAD // 8)


class Disk:
    def __init__(self, folder: Path, kind: str) -> None:
        self._ballast = folder / "ballast"
        self._kind = kind
        if kind == "ballast":
            self._ballast.write_bytes(bytes(3_000_000))

    def shrink(self) -> None:
        if self._kind == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        if self._kind == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            self._ballast.unlink()


async def fill(table: TaskTable, kept: dict[int, int]) -> list[MeshError]:
    """Several at once, so that those that share a transaction meet the end of the disk together."""
    refusals: list[MeshError] = []
    for at in range(0, 10_000, 4):
        numbers = range(at, at + 4)
        calls = (table.enqueue(new(payload(number), key=str(number))) for number in numbers)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, int):
                kept[number] = answer
            elif isinstance(answer, MeshError):
                refusals.append(answer)
            else:
                raise answer
        if len(refusals) >= 8:
            break
    return refusals


async def lost(table: TaskTable, kept: dict[int, int]) -> list[int]:
    return [number for number, task in kept.items() if await table.payload(TENANT, task) != payload(number)]


async def taken(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except MeshError:
        return False
    return True


async def main(folder: Path, kind: str) -> dict[str, object]:
    path, disk, kept = folder / "tasks.db", Disk(folder, kind), dict[int, int]()
    async with open_tasks(path) as table:
        await table.enqueue(new(b"before", kind="begun"))
        (claim,) = await table.claim("w", ["begun"], lease=600)
        disk.shrink()
        refusals = await fill(table, kept)
        lost_while_full = await lost(table, kept)
        completed_while_full = await taken(lambda: table.complete(claim, payload(0)))
        disk.make_room()
        again = next(number for number in range(10_000) if number not in kept)
        kept[again] = await table.enqueue(new(payload(again), key=str(again)))
        completed_after = await taken(lambda: table.complete(claim, payload(0)))
    async with open_tasks(path) as table:
        found = {
            "lost": await lost(table, kept),
            "result": await table.result(TENANT, claim.id) == payload(0),
            "claimable": len(await table.claim("w", [KIND], limit=1000)),
        }
    with closing(sqlite3.connect(path)) as connection:
        found["integrity"] = connection.execute("PRAGMA integrity_check").fetchone()[0]
    return found | {
        "reasons": sorted({refusal.reason for refusal in refusals}),
        "messages": sorted({refusal.message for refusal in refusals}),
        "kept": len(kept),
        "lost_while_full": lost_while_full,
        "completed": completed_while_full or completed_after,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))))
