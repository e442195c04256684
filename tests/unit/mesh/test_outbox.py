"""Which frames travel together, and that none is left behind."""

from __future__ import annotations

import asyncio

from nexus.mesh.v1 import tunnel_pb2
from nexus_mesh.rpc.tunnel.client import BATCH_BYTES, Outbox
from support.waiting import eventually


class Wire:
    """Takes what is written; holds writes up until `free` is set."""

    def __init__(self) -> None:
        self.messages: list[list[int]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, message: tunnel_pb2.OpenResponse) -> None:
        await self.free.wait()
        self.messages.append([frame.call for frame in message.frames])


def put(outbox: Outbox[tunnel_pb2.OpenResponse], call: int, size: int = 10, *, urgent: bool = True) -> None:
    outbox.message(size, urgent=urgent).frames.add(call=call)


async def finish(outbox: Outbox[tunnel_pb2.OpenResponse], running: asyncio.Task[None]) -> None:
    outbox.close()
    async with asyncio.timeout(5):
        await running


async def test_frames_of_one_moment_and_of_a_write_under_way_travel_together() -> None:
    outbox, wire = Outbox(tunnel_pb2.OpenResponse), Wire()
    running = asyncio.create_task(outbox.run(wire.write))
    wire.free.clear()
    for call in (1, 2):
        put(outbox, call)
    await asyncio.sleep(0.01)
    for call in (3, 4, 5):
        put(outbox, call)
        await asyncio.sleep(0)
    wire.free.set()
    await finish(outbox, running)
    assert wire.messages == [[1, 2], [3, 4, 5]]


async def test_an_urgent_frame_takes_along_what_waits() -> None:
    outbox, wire = Outbox(tunnel_pb2.OpenResponse), Wire()
    running = asyncio.create_task(outbox.run(wire.write))
    put(outbox, 1)
    await asyncio.sleep(0)
    for call in (2, 3):
        put(outbox, call, urgent=False)
    put(outbox, 4)
    await finish(outbox, running)
    assert [call for message in wire.messages for call in message] == [1, 2, 3, 4]
    assert [2, 3, 4] in [message[-3:] for message in wire.messages]


async def test_what_is_not_urgent_goes_out_without_being_asked_for() -> None:
    outbox, wire = Outbox(tunnel_pb2.OpenResponse), Wire()
    running = asyncio.create_task(outbox.run(wire.write))
    for call in (1, 2, 3):
        put(outbox, call, urgent=False)
        await eventually(lambda: wire.messages[-1:] == [[call]])  # noqa: B023 - awaited before the next round
    await finish(outbox, running)


async def test_a_large_frame_does_not_travel_with_others() -> None:
    outbox, wire = Outbox(tunnel_pb2.OpenResponse), Wire()
    for call, size in ((1, 10), (2, BATCH_BYTES), (3, 10), (4, 10)):
        put(outbox, call, size, urgent=False)
    await finish(outbox, asyncio.create_task(outbox.run(wire.write)))
    assert wire.messages == [[1], [2], [3, 4]]
