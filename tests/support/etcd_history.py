"""etcd's own account of what happened, read with etcdctl: the oracle for what a watch must deliver."""

from __future__ import annotations

import asyncio
import base64
import json

from support.etcd import EtcdCluster, program
from support.etcd_recorder import Event

LONGEST_LINE = 64 << 20  # one response, values included


async def read_history(cluster: EtcdCluster, prefix: bytes, until: int) -> list[Event]:
    """All events under `prefix` from the first revision to `until`, which must have one."""
    options = ("--write-out=json", "--rev=1", "--prefix")
    process = await asyncio.create_subprocess_exec(
        program("etcdctl"),
        *cluster.ctl_options(),
        "watch",
        *options,
        prefix,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    assert process.stdout is not None
    events: list[Event] = []
    try:
        async with asyncio.timeout(30):
            while not events or events[-1][2] < until:
                response = json.loads(await process.stdout.readline())
                events.extend(_event(entry) for entry in response["Events"])
    finally:
        process.kill()
        await process.wait()
    return [event for event in events if event[2] <= until]


def _event(entry: dict) -> Event:
    kind = "DELETE" if entry.get("type") else "PUT"
    return kind, base64.b64decode(entry["kv"]["key"]), entry["kv"]["mod_revision"]
