"""What a large file costs a store: its memory, its time and its processor, over mutual TLS.

python -m bench.store [--megabytes N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
from nexus.store.v1 import store_pb2 as pb
from nexus_mesh.identity import tls
from nexus_mesh.identity.spiffe import role_server_name

from tests.support.ca import MeshCA
from tests.support.processes import ChildProcess, free_port, start
from tests.support.store_client import CHUNK, GET, PUT
from tests.support.waiting import eventually

POLL = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.store", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-bench-store-", dir=arguments.folder) as folder:
        asyncio.run(_measure(Path(folder), arguments.megabytes << 20))


async def _measure(home: Path, size: int) -> None:
    ca, port, nowhere = MeshCA(), free_port(), f"127.0.0.1:{free_port()}"
    tls.store(home / "identities" / "store-main", ca.material(ca.spiffe("store")))
    told = {"home": str(home), "node": "n1", "port": str(port), "registry": nowhere, "vault": nowhere}
    flags = [word for name, value in told.items() for word in (f"--{name}", value)]
    child = start([sys.executable, "-m", "nexus_store", *flags], home / "log")
    try:
        run = home / "run" / "store-main.json"
        await eventually(lambda: run.exists() or not child.alive, 60, "the start")
        options = (("grpc.ssl_target_name_override", role_server_name("store", "nexus.internal")),)
        credentials = ca.identity("gateway").channel_credentials()
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            await _rounds(channel, child, size)
    finally:
        child.stop()


async def _rounds(channel: grpc.Channel, child: ChildProcess, size: int) -> None:
    put = channel.stream_unary(PUT.path, PUT.request.SerializeToString, PUT.response.FromString)
    get = channel.unary_stream(GET.path, GET.request.SerializeToString, GET.response.FromString)
    ids: list[str] = []

    def send() -> None:
        ids.append(put(_file(size, len(ids))).object.id)

    def receive() -> None:
        came = sum(len(one.chunk) for one in get(pb.GetRequest(tenant="bench", id=ids[-1])))
        assert came == size

    process = psutil.Process(child.pid)
    print(
        f"{size >> 20} MiB; load average {os.getloadavg()[0]:.1f}; idle {process.memory_info().rss / 1e6:.1f} MB"
    )
    put(_file(1 << 20, -1))  # what every first call brings is not the file's
    idle = process.memory_info().rss
    for name, work in (("put", send), ("get", receive)) * 2:
        cpu, before = sum(process.cpu_times()[:2]), time.perf_counter()
        task = asyncio.create_task(asyncio.to_thread(work))
        most = 0
        while not task.done():
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(POLL)
        await task
        took, cpu = time.perf_counter() - before, sum(process.cpu_times()[:2]) - cpu
        rate = size / took / 1e6
        print(
            f"  {name}  +{(most - idle) / 1e6:5.1f} MB at most  {rate:6.0f} MB/s  {cpu / size * 1e9:5.2f} ms CPU/MB"
        )


def _file(size: int, number: int) -> Iterator[pb.PutRequest]:
    yield pb.PutRequest(start=pb.PutStart(tenant="bench", purpose="bench"))
    digest, piece = hashlib.sha256(), (b"%08d" % number) * (CHUNK // 8)
    for _ in range(size // CHUNK):
        digest.update(piece)
        yield pb.PutRequest(chunk=piece)
    yield pb.PutRequest(end=pb.PutEnd(size=size, sha256=digest.digest()))


if __name__ == "__main__":
    main()
