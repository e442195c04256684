"""Uploads at an adapter that does what the test tells it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from nexus.inference.v1 import inference_pb2
from nexus.inference.v1.inference_pb2_grpc import InferenceServiceServicer
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc import read_out

__all__ = ["HEARD", "SECONDS", "Received", "ScriptedUploads", "digest"]

PAINTED = frozenset({model_pb2.OPERATION_IMAGE_EDIT, model_pb2.OPERATION_IMAGE_VARIATION})
HEARD = "one two three"
SECONDS = 2.5


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class Received:
    """One upload as far as it came. `files`: the digest of each, once it has ended; of one name's the last.

    `digests`: of all, in their order.
    """

    start: inference_pb2.UploadStart
    parts: list[inference_pb2.Part] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    size: int = 0
    longest: int = 0
    whole: bool = False
    cancelled: bool = False

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.start.envelope.body)


class ScriptedUploads(InferenceServiceServicer):
    """`upload_mode`: "ok"; "refuse" it with `reason`; "stop" reading after `stop_after` bytes; "lose" it then;
    "hasty" answers by then; "endless" never answers though it has all; "cut" streams half of an answer and fails.
    """

    upload_mode = "ok"
    stop_after = 0
    reason: Reason
    seen: list[inference_pb2.Envelope]

    def __init__(self) -> None:
        self.uploads: list[Received] = []

    async def Upload(
        self, request_iterator: AsyncIterator[inference_pb2.UploadRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[inference_pb2.UploadResponse]:
        messages = aiter(request_iterator)
        received = Received((await anext(messages)).start)
        self.uploads.append(received)
        self.seen.append(received.start.envelope)
        if self.upload_mode == "refuse":
            raise MeshError(self.reason, "the test says so")
        try:
            yield _said(progress=inference_pb2.Progress(phase="receiving"))
            await self._hear(messages, received)
            if not received.whole and self.upload_mode != "hasty":
                received.cancelled = True  # the library tells a call that was given up as one that has ended
                raise MeshError(Reason.INVALID_REQUEST, "cut off")  # noqa: TRY301
            if self.upload_mode == "endless":
                await asyncio.Event().wait()
            if received.start.envelope.operation in PAINTED:
                async for event in self.painted():
                    yield inference_pb2.UploadResponse(event=event)
                return
            for answer in self._answers(received):
                yield answer
            if self.upload_mode == "cut":
                raise MeshError(Reason.BACKEND_LOST, "the test says so")  # noqa: TRY301
            usage = inference_pb2.Usage(input_seconds=SECONDS)
            yield _said(finish=inference_pb2.Finish(usage=usage))
        except MeshError:
            if not received.whole:
                yield _said(progress=inference_pb2.Progress(phase="enough"))
                await read_out(messages)
            raise
        except asyncio.CancelledError:
            received.cancelled = True
            raise

    def painted(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        """What is made of pictures that came."""
        raise NotImplementedError

    async def _hear(self, messages: AsyncIterator[inference_pb2.UploadRequest], received: Received) -> None:
        hashed = hashlib.sha256()
        async for message in messages:
            step = message.WhichOneof("step")
            if step == "part":
                received.parts.append(message.part)
                received.digests.append("")
                hashed = hashlib.sha256()
            elif step == "chunk":
                hashed.update(message.chunk)
                received.size += len(message.chunk)
                received.longest = max(received.longest, len(message.chunk))
                received.files[received.parts[-1].name] = received.digests[-1] = hashed.hexdigest()
                if received.size >= self.stop_after:
                    if self.upload_mode == "stop":
                        await asyncio.Event().wait()
                    if self.upload_mode == "lose":
                        raise MeshError(self.reason, "the test says so")
                    if self.upload_mode == "hasty":
                        return
            elif step == "end":
                received.whole = message.end.size == received.size
                return

    def _answers(self, received: Received) -> list[inference_pb2.UploadResponse]:
        wanted = received.body.get("response_format", "json")
        if received.start.stream:
            deltas = [{"type": "transcript.text.delta", "delta": word} for word in ("one", " two", " three")]
            done = {"type": "transcript.text.done", "text": HEARD}
            told = deltas[:1] if self.upload_mode == "cut" else [*deltas, done]
            return [_said(chunks=inference_pb2.Chunks(json=[json.dumps(each)])) for each in told]
        if wanted in ("json", "verbose_json"):
            body: dict[str, Any] = {"text": HEARD, "usage": {"type": "duration", "seconds": 3}}
            if wanted == "verbose_json":
                body |= {"language": "english", "duration": SECONDS, "task": "transcribe", "segments": []}
                if "word" in received.body.get("timestamp_granularities", []):
                    body["words"] = [{"word": "one", "start": 0.0, "end": 0.5}]
            return [_said(answer=inference_pb2.Answer(body=json.dumps(body)))]
        return [_said(answer=inference_pb2.Answer(body=f"{HEARD}\n", mime_type="text/plain"))]


def _said(**event: Any) -> inference_pb2.UploadResponse:
    return inference_pb2.UploadResponse(event=inference_pb2.StreamResponse(**event))
