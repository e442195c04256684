"""An adapter that dies, or is told to stop: the other one serves, and the dead one is asked nothing more."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import openai
from support.e2e_mesh import sdk
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


async def test_a_killed_adapter_is_back_before_patient_clients_give_up(tmp_path: Path) -> None:
    """B9: the only one there is, under load; each refusal says when to come back, and is right."""
    async with (
        FakeOpenAI("fake-model") as engine,
        live_mesh(tmp_path, backend("one", engine.url)) as mesh,
        sdk(mesh, max_retries=5) as client,
    ):
        ends: Counter[str] = Counter()

        async def ask() -> None:
            for _ in range(20):
                try:
                    await client.chat.completions.create(
                        model="fake-model", messages=[{"role": "user", "content": "hi"}]
                    )
                    ends["answered"] += 1
                except openai.APIError as error:
                    ends[type(error).__name__] += 1
                await asyncio.sleep(0.1)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await asyncio.sleep(0.5)
        restarts = mesh.supervisor.units["adapter"].restarts
        os.kill(mesh.pid("adapter"), signal.SIGKILL)
        await asyncio.gather(*asking)
        assert ends == {"answered": 80}
        assert mesh.supervisor.units["adapter"].restarts == restarts + 1


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
