"""Limits on waiting."""

from __future__ import annotations

import asyncio

import pytest
from nexus_inference_adapters.contract.waiting import Patience
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.settings import Timeouts

LIMITS = Timeouts(first_token=0.2, stall=0.05, total=0.6)


async def test_silence_before_and_after_content() -> None:
    with Patience(LIMITS, silence=LIMITS.first_token) as patience:
        await patience.wait(asyncio.sleep(0.1))
        patience.content_came()
        with pytest.raises(MeshError) as caught:
            await patience.wait(asyncio.sleep(10))
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT
    assert caught.value.metadata == {"limit_seconds": "0.05"}


async def test_the_total_counts_however_busy_the_backend_is() -> None:
    async def never_silent_never_done() -> None:
        with Patience(LIMITS, silence=60) as patience:
            while True:
                await patience.wait(asyncio.sleep(0.01))

    with pytest.raises(MeshError) as caught:
        await never_silent_never_done()
    assert caught.value.reason is Reason.TIMEOUT


async def test_time_outside_is_not_the_backends() -> None:
    with Patience(LIMITS, silence=0.05) as patience:
        await patience.wait(asyncio.sleep(0))
        await asyncio.sleep(0.3)
        await patience.wait(asyncio.sleep(0.01))


async def test_cancellation_from_outside_stays_cancellation() -> None:
    async def work() -> None:
        with Patience(LIMITS, silence=10) as patience:
            await patience.wait(asyncio.sleep(10))

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_the_task_is_unharmed_afterwards() -> None:
    with Patience(LIMITS, silence=0.02) as patience, pytest.raises(MeshError):
        await patience.wait(asyncio.sleep(10))
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
