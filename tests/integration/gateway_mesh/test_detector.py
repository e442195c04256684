"""The process that finds speech: Silero's own model, on a voice and on silence."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import wave
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from nexus_gateway.detecting import Detector, can_detect
from nexus_gateway.dialects.realtime.sound import FORMATS
from nexus_mesh.core import MeshError
from support.speaking import spoken


@pytest_asyncio.fixture
async def detector() -> AsyncIterator[Detector]:
    assert can_detect()
    made = Detector()
    yield made
    await made.close()


def voice() -> bytes:
    with wave.open(io.BytesIO(spoken("The quick brown fox jumps over the lazy dog."))) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    at = np.arange(0, len(samples) / rate, 1 / 24_000)
    return np.interp(at, np.arange(len(samples)) / rate, samples).astype("<i2").tobytes()


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_voice_is_told_from_silence_whatever_the_pieces(detector: Detector, kind: str) -> None:
    form = FORMATS[kind]
    said, quiet = form.of_pcm(voice()), form.of_pcm(bytes(48_000))
    found = await detector.listen().detect(form.code, said)
    assert len(found) == pytest.approx(form.milliseconds(len(said)) / 32, abs=1)
    assert sum(p > 0.5 for p in found) > len(found) / 2
    assert max(await detector.listen().detect(form.code, quiet)) < 0.2
    listening, pieces = detector.listen(), list[float]()
    step = 997 * form.sample_bytes
    for at in range(0, len(said), step):
        pieces += await listening.detect(form.code, said[at : at + step])
    assert pieces == pytest.approx(found, abs=1e-3)


async def test_one_that_ends_at_work_is_told_and_replaced(detector: Detector) -> None:
    listening = detector.listen()
    await listening.detect(1, bytes(4_800))
    first = detector.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    asked = asyncio.create_task(listening.detect(1, bytes(4_800)))
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(MeshError):
        await asked
    assert len(await listening.detect(1, bytes(48_000))) == 31
    assert detector.pid not in (None, first)
