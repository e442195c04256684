"""The places of a backend."""

from __future__ import annotations

import asyncio

import pytest
from nexus_inference_adapters.contract.waiting import Gate
from nexus_mesh.core.errors import MeshError, Reason
from support.waiting import eventually


class Holder:
    """Holds a place until told to leave."""

    def __init__(self, gate: Gate) -> None:
        self.inside = False
        self.leave = asyncio.Event()
        self.task = asyncio.ensure_future(self._hold(gate))

    async def _hold(self, gate: Gate) -> None:
        async with gate:
            self.inside = True
            await self.leave.wait()


async def holders(gate: Gate, count: int) -> list[Holder]:
    made = [Holder(gate) for _ in range(count)]
    await asyncio.sleep(0)
    return made


async def end(*held: Holder) -> None:
    for holder in held:
        holder.task.cancel()
    await asyncio.gather(*(holder.task for holder in held), return_exceptions=True)


async def test_twice_the_places_may_wait_and_no_more() -> None:
    gate = Gate(2)
    held = await holders(gate, 6)
    assert (gate.active, gate.queued) == (2, 4)
    with pytest.raises(MeshError) as caught:
        async with gate:
            pass
    assert (caught.value.reason, caught.value.retry_after) == (Reason.OVERLOAD, 1.0)
    await end(*held)
    assert (gate.active, gate.queued) == (0, 0)


async def test_those_who_wait_are_served_in_order() -> None:
    gate = Gate(1)
    first, second, third = await holders(gate, 3)
    first.leave.set()
    await eventually(lambda: second.inside)
    assert not third.inside
    await end(first, second, third)


async def test_giving_up_at_the_moment_of_admission_loses_no_place() -> None:
    gate = Gate(1)
    first, second, third = await holders(gate, 3)
    first.task.cancel()
    await asyncio.sleep(0)
    second.task.cancel()
    await eventually(lambda: third.inside)
    await end(first, second, third)
    assert (gate.active, gate.queued) == (0, 0)


async def test_growing_admits_those_who_wait() -> None:
    gate = Gate(1)
    held = await holders(gate, 3)
    gate.resize(0)
    await eventually(lambda: all(holder.inside for holder in held))
    await end(*held)
    assert gate.active == 0
