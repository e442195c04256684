"""An adapter that dies, or is told to stop: the other one serves, and the dead one is asked nothing more."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from support.fake_openai import FakeOpenAI
from support.live_mesh import backend, eventually, live_mesh
from support.load import load


async def test_a_killed_adapter_gets_no_request_after_the_first_failure(tmp_path: Path) -> None:
    async with FakeOpenAI("fake-model") as first, FakeOpenAI("fake-model") as second:
        config = backend("one", first.url) + backend("two", second.url, zone="other")
        async with live_mesh(tmp_path, config) as mesh:
            await eventually(lambda: _both_answer(mesh.base_url, first, second), timeout=30)
            async with load(mesh.base_url, "fake-model", unary=8, streams=0) as tally:
                await asyncio.sleep(2)
                mesh.kill("adapter-other")
                await asyncio.sleep(3)
                asked = len(second.calls)
                await asyncio.sleep(5)
                assert len(second.calls) == asked
                mesh.revive("adapter-other")
                await eventually(
                    lambda: len(second.calls) > asked, timeout=30, what="the revived adapter in use"
                )
            print(f"one of two adapters killed: {tally}, by backend {dict(tally.backends)}")
            assert not tally.failures


async def test_an_adapter_that_is_told_to_stop_cuts_nothing(tmp_path: Path) -> None:
    async with FakeOpenAI("fake-model") as first, FakeOpenAI("fake-model") as second:
        config = backend("one", first.url) + backend("two", second.url, zone="other")
        async with live_mesh(tmp_path, config) as mesh:
            await eventually(lambda: _both_answer(mesh.base_url, first, second), timeout=30)
            async with load(mesh.base_url, "fake-model", unary=4, streams=4) as tally:
                for _ in range(3):
                    await asyncio.sleep(1)
                    asked = len(second.calls)
                    mesh.kill("adapter-other", by=signal.SIGTERM)
                    await eventually(lambda: not mesh.running("adapter-other"), timeout=30)
                    mesh.revive("adapter-other")
                    await eventually(
                        lambda: len(second.calls) > asked + 20,  # noqa: B023 - awaited before the next round
                        timeout=30,
                        what="the restarted adapter in use",
                    )
            print(f"one of two adapters stopped three times: {tally}, by backend {dict(tally.backends)}")
            assert not tally.failures


async def _both_answer(base_url: str, first: FakeOpenAI, second: FakeOpenAI) -> bool:
    async with load(base_url, "fake-model", unary=2, streams=0):
        await asyncio.sleep(0.2)
    return bool(first.calls and second.calls)
