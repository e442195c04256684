"""Upload at a gateway's own door, for members of the mesh: half of it is never passed off as all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable

import aiohttp
import pytest
import pytest_asyncio
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc import Method
from nexus_mesh.rpc.client import Peer
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.scripted_uploads import HEARD, digest
from support.waiting import eventually
from support.whole_gateway import gateway

Message = inference_pb2.UploadRequest
UPLOAD = Method("nexus.inference.v1.InferenceService", "Upload", Message, inference_pb2.UploadResponse)
SOUND = bytes(range(256)) * 1024
PIECES = [Message(chunk=SOUND[at : at + 65_536]) for at in range(0, len(SOUND), 65_536)]
FILE = Message(part=inference_pb2.Part(name="file", size=len(SOUND)))
END = Message(end=inference_pb2.UploadEnd(size=len(SOUND)))


@pytest_asyncio.fixture
async def box(bench: GatewayBench) -> ScriptedAdapter:
    found = await bench.adapter("box")
    operations = (model_pb2.OPERATION_TRANSCRIPTION, model_pb2.OPERATION_CHAT)
    bench.control.router.show(found.target(operations=operations))
    return found


@pytest_asyncio.fixture
async def peer(bench: GatewayBench, box: ScriptedAdapter) -> AsyncIterator[Peer]:
    async with gateway(bench, upload_size=1) as served:
        peer = Peer(
            served.grpc_address, bench.ca.spiffe("gateway").server_name, bench.ca.identity("operator")
        )
        await eventually(lambda: _is_ready(served.http), what="the gateway being ready")
        try:
            yield peer
        finally:
            await peer.close()


async def _is_ready(http: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"http://{http}/readyz") as answer:
        return answer.status == 200


def start(
    operation: model_pb2.Operation = model_pb2.OPERATION_TRANSCRIPTION, *, stream: bool = False, **body: str
) -> Message:
    envelope = inference_pb2.Envelope(operation=operation, model="m", body=json.dumps(body))
    return Message(start=inference_pb2.UploadStart(envelope=envelope, stream=stream))


async def asked(peer: Peer, messages: Iterable[Message]) -> list[inference_pb2.StreamResponse]:
    async with peer.duplex(UPLOAD, timeout=10) as call:
        for message in messages:
            if not await call.send(message):
                break
        await call.close_sending()
        return [answer.event async for answer in call]


async def test_a_whole_one_is_answered(peer: Peer, box: ScriptedAdapter) -> None:
    answers = await asked(peer, [start(language="en"), FILE, *PIECES, END])
    assert json.loads(answers[-2].answer.body)["text"] == HEARD
    assert answers[-1].finish.usage.input_seconds > 0
    assert [answer.served.backend for answer in answers if answer.HasField("served")] == ["box"]
    assert box.uploads[0].files == {"file": digest(SOUND)}
    assert box.uploads[0].body == {"language": "en", "model": "m"}


async def test_as_it_is_made(peer: Peer) -> None:
    answers = await asked(peer, [start(stream=True), FILE, *PIECES, END])
    types = [json.loads(text)["type"] for answer in answers for text in answer.chunks.json]
    assert types == ["transcript.text.delta"] * 3 + ["transcript.text.done"]


BROKEN: dict[str, tuple[list[Message], Reason, str]] = {
    "without its end": ([start(), FILE, *PIECES], Reason.INVALID_REQUEST, "cut off"),
    "in the middle": ([start(), FILE, *PIECES[:2]], Reason.INVALID_REQUEST, "cut off"),
    "with a loss": ([start(), FILE, *PIECES[1:], END], Reason.INVALID_REQUEST, "told of"),
    "without a part": ([start(), *PIECES, END], Reason.INVALID_REQUEST, "before the part"),
    "without a file": ([start(), Message(end=inference_pb2.UploadEnd())], Reason.INVALID_REQUEST, "missing: file"),
    "with too large a chunk": ([start(), FILE, Message(chunk=bytes(65_537))], Reason.INVALID_REQUEST, "A chunk"),
    "without a start": ([FILE, *PIECES, END], Reason.INVALID_REQUEST, "begins with"),
    "with nothing": ([], Reason.INVALID_REQUEST, "begins with"),
    "of a chat": ([start(model_pb2.OPERATION_CHAT, messages="x"), FILE], Reason.INVALID_REQUEST, "with files"),
    "too much": ([start(), Message(part=inference_pb2.Part(name="file")), *PIECES * 5], Reason.REQUEST_TOO_LARGE,
                 "1048576"),
    "with a wrong parameter": ([start(temperature="warm"), FILE, *PIECES, END], Reason.INVALID_REQUEST, "temperature"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_one_is_refused_and_never_heard(peer: Peer, box: ScriptedAdapter, how: str) -> None:
    messages, reason, why = BROKEN[how]
    with pytest.raises(MeshError) as refused:
        await asked(peer, messages)
    assert (refused.value.reason, why in refused.value.message) == (reason, True), refused.value.message
    assert not any(received.whole for received in box.uploads)


async def test_work_with_files_has_no_other_door(peer: Peer, box: ScriptedAdapter) -> None:
    complete = Method(
        "nexus.inference.v1.InferenceService",
        "Complete",
        inference_pb2.CompleteRequest,
        inference_pb2.CompleteResponse,
    )
    with pytest.raises(MeshError) as refused:
        await peer.unary(complete, inference_pb2.CompleteRequest(envelope=start().start.envelope), timeout=5)
    assert "Upload" in refused.value.message
    assert box.seen == []


async def test_who_gives_up_frees_the_backend(peer: Peer, box: ScriptedAdapter) -> None:
    box.upload_mode = "endless"
    async with peer.duplex(UPLOAD, timeout=10) as call:
        for message in [start(), FILE, *PIECES, END]:
            assert await call.send(message)
        await eventually(lambda: box.uploads and box.uploads[0].whole, what="all of it there")
    await eventually(lambda: box.uploads[0].cancelled, what="the backend being free")
