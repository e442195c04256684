"""Run as a program: fills the disk under a store, makes room again, and prints what it was told and what is left.

disk_child.py FOLDER limit|ballast: what fills is a limit on the size of files, or the file system that FOLDER is.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from nexus_mesh.core import MeshError
from nexus_store.store import Store
from support.store_client import TENANT, files, got, opened, put

LIMIT = 1 << 20
SIZES = (300_000, 10, 1_500_000, 40_000)
"""Under and over the limit."""


def data(number: int) -> bytes:
    return (b"%08d" % number * (SIZES[number % len(SIZES)] // 8 + 1))[: SIZES[number % len(SIZES)]]


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


async def fill(store: Store, kept: dict[int, str]) -> list[MeshError]:
    refusals: list[MeshError] = []
    for at in range(0, 2_000, 4):
        numbers = range(at, at + 4)
        answers = await asyncio.gather(*(put(store, data(n)) for n in numbers), return_exceptions=True)
        for number, answer in zip(numbers, answers, strict=True):
            if isinstance(answer, MeshError):
                refusals.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                kept[number] = answer.id
        if len(refusals) >= 8:
            break
    return refusals


async def lost(store: Store, kept: dict[int, str]) -> list[int]:
    return [number for number, one in kept.items() if await got(store, one) != data(number)]


async def main(folder: Path, kind: str) -> dict[str, object]:
    disk, kept = Disk(folder, kind), dict[int, str]()
    where = folder / "store", folder / "store.db"
    async with opened(*where) as store:
        await put(store, data(0))
        disk.shrink()
        refusals = await fill(store, kept)
        lost_while_full = await lost(store, kept)
        contents = len(files(folder / "store"))
        disk.make_room()
        again = next(number for number in range(2_000) if number not in kept)
        kept[again] = (await put(store, data(again))).id
    async with opened(*where) as store:
        return {
            "reasons": sorted({refusal.reason for refusal in refusals}),
            "messages": sorted({refusal.message for refusal in refusals}),
            "kept": len(kept),
            "lost_while_full": lost_while_full,
            "lost": await lost(store, kept),
            "contents_while_full": contents,
            "contents": len(files(folder / "store")),
            "objects": (await store.usage(TENANT)).objects,
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))))
