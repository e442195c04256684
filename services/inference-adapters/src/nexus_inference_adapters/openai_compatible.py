"""The adapter for everything that speaks OpenAI's API: vLLM, llama.cpp, LM Studio, exo, OpenAI and others."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.errors import MeshError, Reason

from nexus_inference_adapters.adapter import (
    Adapter,
    Completed,
    Count,
    Event,
    Finish,
    Inspection,
    Progress,
    Work,
)
from nexus_inference_adapters.chunks import ChunkNormaliser
from nexus_inference_adapters.collected import collect
from nexus_inference_adapters.dialects import Dialect, detect
from nexus_inference_adapters.http import Answer
from nexus_inference_adapters.normalise import whole_answer
from nexus_inference_adapters.parameters import TEXT_MAX_TOKENS, max_tokens, set_parameters
from nexus_inference_adapters.patience import Patience
from nexus_inference_adapters.sse import Comment, SseReader
from nexus_inference_adapters.upstream_errors import malformed
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION, EMBEDDING

__all__ = ["OpenAICompatible"]

PATHS: dict[int, str] = {
    CHAT: "/v1/chat/completions",
    COMPLETION: "/v1/completions",
    EMBEDDING: "/v1/embeddings",
}
DONE = b"[DONE]"


class OpenAICompatible(Adapter):
    """Bodies pass through but for the model's name and the stream fields; answers are brought to the normal form."""

    kind: ClassVar[str] = "openai_compatible"
    instead: ClassVar[str] = "OpenAI's API has no way to: start and stop the server with the models you want."
    dialect: Dialect | None = None

    async def inspect(self) -> Inspection:
        if self.dialect is None:
            self.dialect = await detect(self.http)
        try:
            return await self.dialect.inspect(self.http, self.config)
        except MeshError:
            self.dialect = None  # another server may answer at this address next time
            raise

    def request(self, work: Work, *, stream: bool) -> dict[str, Any]:
        """The body to send. Raises UNSUPPORTED_PARAMETER for what this kind would ignore."""
        body = {key: value for key, value in work.body.items() if key not in ("stream", "stream_options")}
        body["model"] = work.model
        if work.continues and self.dialect is not None:
            body |= self.dialect.prefill
        if work.operation == COMPLETION and max_tokens(COMPLETION, set_parameters(body)) == TEXT_MAX_TOKENS:
            body["max_tokens"] = TEXT_MAX_TOKENS
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def judge(self, error: MeshError) -> MeshError:
        """What a refusal by this kind of backend means; the general table has already been asked."""
        return error

    @asynccontextmanager
    async def _post(self, work: Work, body: dict[str, Any], patience: Patience) -> AsyncIterator[Answer]:
        keep = "stream" not in body or self.dialect is None or self.dialect.keeps_after_stream
        try:
            async with self.http.post(PATHS[work.operation], body, patience, keep=keep) as answer:
                yield answer
        except MeshError as error:
            raise self.judge(error) from None

    def streams_only(self, work: Work) -> bool:
        """Whether a whole answer is read as a stream."""
        return self.dialect is not None and self.dialect.streams_only(work)

    async def count(self, work: Work) -> Count | None:
        if self.dialect is None or self.dialect.counter is None:
            return None
        tokens = await self.dialect.counter(self.http, work.operation, self.request(work, stream=False))
        return None if tokens is None else Count(tokens, self.dialect.name)

    async def complete(self, work: Work, patience: Patience) -> Completed:
        if self.streams_only(work):
            return await collect(work, self.stream(work, patience), patience)
        body = self.request(work, stream=False)
        async with self._post(work, body, patience) as answer:
            return whole_answer(work, await answer.read())

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        body = self.request(work, stream=True)
        async with self._post(work, body, patience) as answer:
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise malformed("The backend did not answer with an event stream.")
            events = EventStream(ChunkNormaliser(work.operation, work.body))
            while not events.done and (part := await answer.part()):
                arrived = events.take(part)
                if events.chunks.has_content:
                    patience.content_came()
                if arrived is not None:
                    yield arrived
                if events.failure is not None:
                    raise events.failure
            usage = events.finish()
            await answer.drain()
            yield Finish(usage)


class EventStream:
    """An SSE answer on its way to normal chunks: what arrived together goes on together."""

    def __init__(self, chunks: ChunkNormaliser) -> None:
        self.chunks = chunks
        self.done = False
        """Whether the backend said [DONE]: it does so after errors too."""
        self.failure: MeshError | None = None
        """What a part ended with that had content before it: the content goes out first."""
        self._reader = SseReader()

    def take(self, part: bytes) -> list[str] | Progress | None:
        ready: list[str] = []
        try:
            return self._take(part, ready)
        except MeshError as error:
            if not ready:
                raise
            self.failure = error
            return ready

    def _take(self, part: bytes, ready: list[str]) -> list[str] | Progress | None:
        progress: Progress | None = None
        for event in self._reader.feed(part):
            if type(event) is Comment:
                progress = _progress(event)
            elif event == DONE:
                self.done = True
                break
            elif (chunk := self.chunks.feed(event)) is not None:
                ready.append(chunk)
        return ready or progress

    def finish(self) -> inference_pb2.Usage | None:
        """The usage. Raises UPSTREAM_MALFORMED or BACKEND_LOST when the stream only looks finished."""
        if self.done and not self.chunks.finished:
            raise malformed("The backend ended its stream without a finish reason.")
        if not self.done and self._reader.incomplete():
            raise MeshError(Reason.BACKEND_LOST, "The backend's stream ended in the middle of an event.")
        return self.chunks.finish()


def _progress(comment: bytes) -> Progress:
    """mlx-lm's keep-alives count prompt tokens: `keepalive 512/4096`; others say nothing of use."""
    counted = re.fullmatch(rb"keepalive (\d{1,12})/(\d{1,12})", comment)
    return Progress("prompt", int(counted[1]), int(counted[2])) if counted else Progress("waiting")
