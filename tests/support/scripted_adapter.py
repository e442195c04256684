"""An adapter that does what the test tells it, over real gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from nexus.inference.v1 import inference_pb2
from nexus.inference.v1.inference_pb2_grpc import add_InferenceServiceServicer_to_server
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.tls import Identity
from nexus_mesh.rpc.server import MeshServer, Servicer, start_server
from support.scripted_uploads import ScriptedUploads

__all__ = ["FILM", "PICTURE", "SOUND", "SPOKEN", "ScriptedAdapter", "serve_adapter", "text_of"]

WORDS = ("one ", "two ", "three")
SOUND = b"ID3sound"
SPOKEN = bytes(range(240)) * 20
PICTURE = b"\x89PNG picture"


class ScriptedAdapter(ScriptedUploads):
    """`mode` is one of the `_stream_*` methods below, or "fail" (with `reason`); it may change at any time.

    `seen` has every envelope that arrived, `cancelled` how many calls the caller gave up, `active` what runs now.
    In mode "held" an answer begins when let_go() says so, in the order of arrival.
    `tokens`: of an answer, by its usage. `counts` is what it counts any prompt to: a number, an estimate when
    `estimates`, a failure with that reason, or nothing ever for None; `counted` has every envelope it was to count.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.mode = "ok"
        self.reason = Reason.UPSTREAM_ERROR
        self.retry_after: float | None = None
        self.metadata: dict[str, str] = {}
        self.delay = 0.0
        self.tokens = len(WORDS)
        self.seen: list[inference_pb2.Envelope] = []
        self.counts: int | Reason | None = 2
        self.estimates = False
        self.counted: list[inference_pb2.Envelope] = []
        self.active = 0
        self.cancelled = 0
        self.sent = 0
        self._leave = asyncio.Semaphore(0)
        self.identity: Identity
        self.server: MeshServer

    def target(
        self,
        *models: str,
        address: str | None = None,
        state: instance_pb2.State = instance_pb2.STATE_ACTIVE,
        priority: int = 50,
        tier: str = "standard",
        context: int = 0,
        capabilities: Iterable[model_pb2.Capability] = (),
        capacity: int = 0,
        taken: int = 0,
        operations: Iterable[model_pb2.Operation] = (model_pb2.OPERATION_CHAT,),
    ) -> snapshot_pb2.Target:
        """This adapter's only backend as a router shows it; reached at `address` if given.

        `capacity`: how many places it tells of, 0 = unknown; `taken`: how many of them run something.
        """
        spiffe = self.identity.spiffe
        target = snapshot_pb2.Target(
            id=f"{spiffe.instance_id}#{self.name}",
            instance=spiffe.instance_id,
            address=address or self.address,
            server_name=spiffe.server_name,
            zone=spiffe.zone,
            backend=self.name,
            kind="scripted",
            priority=priority,
            state=state,
            tier=tier,
            state_reason="" if state == instance_pb2.STATE_ACTIVE else "the test says so",
            load=instance_pb2.Load(active=taken, capacity=capacity),
        )
        for model in models or ("m",):
            target.models.add(
                id=model,
                operations=operations,
                loaded=True,
                context_tokens=context,
                capabilities=capabilities,
            )
        return target

    @property
    def reached(self) -> int:
        """How many prompts got here, to be run or counted."""
        return len(self.seen) + len(self.counted)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def Complete(
        self, request: inference_pb2.CompleteRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CompleteResponse:
        text, usage = "", None
        async for message in self._script(request.envelope):
            if message.finish.HasField("usage"):
                usage = message.finish.usage
            text += text_of(message)
        return inference_pb2.CompleteResponse(body=json.dumps(_body(request.envelope, text)), usage=usage)

    async def Stream(
        self, request: inference_pb2.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.StreamResponse]:
        async for message in self._script(request.envelope):
            yield message

    async def CountTokens(
        self, request: inference_pb2.CountTokensRequest, context: grpc.aio.ServicerContext
    ) -> inference_pb2.CountTokensResponse:
        self.counted.append(request.envelope)
        if self.counts is None:
            await asyncio.Event().wait()
        if isinstance(self.counts, Reason):
            raise MeshError(self.counts, "the test says so")
        return inference_pb2.CountTokensResponse(
            prompt_tokens=self.counts, estimated=self.estimates, method="scripted"
        )

    async def _script(self, envelope: inference_pb2.Envelope) -> AsyncIterator[inference_pb2.StreamResponse]:
        self.seen.append(envelope)
        self.active += 1
        try:
            await asyncio.sleep(self.delay)
            mode = OF_MEDIA.get(envelope.operation, self.mode) if self.mode == "ok" else self.mode
            async for message in getattr(self, f"_stream_{mode}")():
                yield message
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.active -= 1

    async def _stream_ok(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _chunks({"role": "assistant", "content": ""})
        for word in WORDS:
            yield _chunks({"content": word})
        yield _chunks({}, "stop")
        usage = inference_pb2.Usage(prompt_tokens=2, completion_tokens=self.tokens)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_uncounted(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Whole, but without usage."""
        async for message in self._stream_ok():
            if message.HasField("finish"):
                message.finish.ClearField("usage")
            yield message

    def let_go(self, count: int = 1) -> None:
        """So many of those held may go on."""
        for _ in range(count):
            self._leave.release()

    def hold_again(self) -> None:
        """Nobody goes on by what was let go before and not used."""
        self._leave = asyncio.Semaphore(0)

    async def _stream_held(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        await self._leave.acquire()
        async for message in self._stream_ok():
            yield message

    async def _stream_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        raise MeshError(self.reason, "the test says so", metadata=self.metadata, retry_after=self.retry_after)
        yield

    async def _stream_rest(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """What is left after the first word."""
        for word in WORDS[1:]:
            yield _chunks({"content": word})
        yield _chunks({}, "stop")
        usage = inference_pb2.Usage(prompt_tokens=3, completion_tokens=len(WORDS) - 1)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_other(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """The same answer in other pieces."""
        yield _chunks({"role": "assistant", "content": ""})
        for piece in ("o", "ne tw", "o three"):
            yield _chunks({"content": piece})
        yield _chunks({}, "stop")
        usage = inference_pb2.Usage(prompt_tokens=2, completion_tokens=len(WORDS))
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_short(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """An answer that ends within the first word of the others."""
        yield _chunks({"content": "on"})
        yield _chunks({}, "stop")
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_no_prefill(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Refuses to go on with an answer."""
        if self.seen[-1].continues:
            raise MeshError(Reason.INVALID_REQUEST, "the test says so")
        async for message in self._stream_ok():
            yield message

    async def _stream_role_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _chunks({"role": "assistant", "content": ""})
        raise MeshError(self.reason, "the test says so")

    async def _stream_content_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _chunks({"content": WORDS[0]})
        raise MeshError(self.reason, "the test says so")

    async def _stream_silent(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        await asyncio.Event().wait()
        yield inference_pb2.StreamResponse()

    async def _stream_stall(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _chunks({"content": WORDS[0]})
        await asyncio.Event().wait()

    async def _stream_progress(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        for done in range(6):
            yield inference_pb2.StreamResponse(
                progress=inference_pb2.Progress(phase="prompt", done=done, total=6)
            )
            await asyncio.sleep(0.1)
        async for message in self._stream_ok():
            yield message

    async def _stream_unfinished(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _chunks({"content": WORDS[0]})
        yield _chunks({}, "stop")

    async def _stream_sound(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Two pieces of what is said to be MP3."""
        yield _media(SOUND[:3], mime_type="audio/mpeg")
        yield _media(SOUND[3:])
        yield _media(b"", last=True)
        usage = inference_pb2.Usage(input_characters=2, output_seconds=1.5)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_spoken(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """A tenth of a second of sound, in two pieces that do not end with a sample."""
        yield _media(SPOKEN[:1_001], mime_type="audio/pcm;rate=24000;channels=1")
        yield _media(SPOKEN[1_001:], last=True)
        usage = inference_pb2.Usage(input_characters=2, output_seconds=0.1)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_spoken_stall(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SPOKEN, mime_type="audio/pcm;rate=24000;channels=1")
        await asyncio.Event().wait()

    async def _stream_spoken_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SPOKEN, mime_type="audio/pcm;rate=24000;channels=1")
        raise MeshError(self.reason, "the test says so")

    async def _stream_sentences(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        for piece in ("One is", " here. Two", " follows. And the rest"):
            yield _chunks({"content": piece})
        yield _chunks({}, "stop")
        usage = inference_pb2.Usage(prompt_tokens=5, completion_tokens=8)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_calls(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """A function."""
        for call in (
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}},
            {"index": 0, "function": {"arguments": '{"at":'}},
            {"index": 0, "function": {"arguments": " 1}"}},
        ):
            yield _chunks({"tool_calls": [call]})
        yield _chunks({}, "tool_calls")
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_sound_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SOUND[:3], mime_type="audio/mpeg")
        raise MeshError(self.reason, "the test says so")

    async def _stream_sound_without_last(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SOUND, mime_type="audio/mpeg")
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_sound_unfinished(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SOUND, mime_type="audio/mpeg", last=True)

    async def _stream_sound_stall(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(SOUND, mime_type="audio/mpeg")
        await asyncio.Event().wait()

    async def _stream_other_sound(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Not what was asked for."""
        yield _media(SOUND, mime_type="audio/wav", last=True)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_endless_sound(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """As much as anybody takes; `sent` counts the messages that were taken."""
        while True:
            yield _media(bytes(32_768), mime_type="" if self.sent else "audio/mpeg")
            self.sent += 1

    async def _stream_picture(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """As many as were asked for, each in two pieces after its previews."""
        body = json.loads(self.seen[-1].body)
        kind = f"image/{body.get('output_format', 'png')}"
        yield inference_pb2.StreamResponse(
            progress=inference_pb2.Progress(phase="painting", done=1, total=4, unit="steps")
        )
        for index in range(body.get("n", 1)):
            for preview in range(body.get("partial_images", 0)):
                look = PICTURE + b"look%d" % preview
                yield _media(look, index=index, preview=preview, mime_type=kind, last=True, json=FACTS)
            yield _media(PICTURE[:5], index=index, mime_type=kind)
            yield _media(PICTURE[5:] + b"%d" % index, index=index, last=True, json=FACTS)
        usage = inference_pb2.Usage(output_images=body.get("n", 1))
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    def painted(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        return getattr(self, f"_stream_{'picture' if self.mode == 'ok' else self.mode}")()

    async def _stream_mixed_pictures(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Two beside each other, the second of which is ready first."""
        for index in (1, 0):
            yield _media(PICTURE[:5], index=index, mime_type="image/png")
        for index in (1, 0):
            yield _media(PICTURE[5:] + b"%d" % index, index=index, last=True, json=FACTS)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_picture_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(PICTURE[:5], mime_type="image/png")
        raise MeshError(self.reason, "the test says so")

    async def _stream_picture_without_last(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(PICTURE, mime_type="image/png")
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_picture_unfinished(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(PICTURE, mime_type="image/png", last=True)

    async def _stream_look_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """Between a whole preview and the picture."""
        yield _media(PICTURE, preview=0, mime_type="image/png", last=True)
        raise MeshError(self.reason, "the test says so")

    async def _stream_odd_picture(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """What is known of it is no object of OpenAI's."""
        yield _media(PICTURE, mime_type="image/png", last=True, json='{"size": 7}')
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish())

    async def _stream_film(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """After a still of it, in two pieces."""
        yield inference_pb2.StreamResponse(
            progress=inference_pb2.Progress(phase="painting", done=1, total=4, unit="frames")
        )
        still = '{"variant": "thumbnail"}'
        yield _media(PICTURE, preview=0, mime_type="image/webp", last=True, json=still)
        yield _media(FILM[:65_536], mime_type="video/mp4", size=len(FILM))
        yield _media(FILM[65_536:], last=True, json='{"size": "1280x720", "seconds": "4", "id": "film-1"}')
        usage = inference_pb2.Usage(output_seconds=4)
        yield inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))

    async def _stream_film_then_fail(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield _media(FILM[:65_536], mime_type="video/mp4", size=len(FILM))
        raise MeshError(self.reason, "the test says so")

    async def _stream_garbage(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        yield inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=["{half an ob"]))


OF_MEDIA = {
    model_pb2.OPERATION_SPEECH: "sound",
    model_pb2.OPERATION_IMAGE: "picture",
    model_pb2.OPERATION_VIDEO: "film",
}
"""What "ok" is where the answer is bytes."""
FILM = bytes(range(256)) * 400
FACTS = '{"size": "64x64", "background": "opaque", "quality": "hd", "seed": 7}'


@asynccontextmanager
async def serve_adapter(identity: Identity) -> AsyncIterator[ScriptedAdapter]:
    """A running adapter whose backend bears the identity's name."""
    adapter = ScriptedAdapter(identity.spiffe.name)
    adapter.identity = identity
    servicer = Servicer(adapter, add_InferenceServiceServicer_to_server)
    adapter.server = await start_server([servicer], host="127.0.0.1", port=0, identity=identity, denied=set())
    try:
        yield adapter
    finally:
        await adapter.server.drain(settle=0, grace=0)


def text_of(message: inference_pb2.StreamResponse) -> str:
    """The content of all choices of a message's chunks."""
    chunks = [json.loads(text) for text in message.chunks.json]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def _body(envelope: inference_pb2.Envelope, text: str) -> dict[str, Any]:
    """The whole answer as an OpenAI object."""
    if envelope.operation == model_pb2.OPERATION_EMBEDDING:
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return {"object": "list", "model": envelope.model, "data": data, "usage": {}}
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": envelope.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def _media(data: bytes, **more: Any) -> inference_pb2.StreamResponse:
    return inference_pb2.StreamResponse(media=inference_pb2.Media(data=data, **more))


def _chunks(delta: dict[str, Any], finish_reason: str | None = None) -> inference_pb2.StreamResponse:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
    return inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=[json.dumps(chunk)]))
