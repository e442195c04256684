"""The adapter for Ollama, over its native API: its /v1 loses parameters and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import ClassVar

import msgspec
from nexus.types.v1 import memory_pb2
from nexus_mesh.core import MeshError
from nexus_operations import Shape, spec_of

from nexus_inference_adapters.contract import (
    ABILITIES,
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    Offer,
    Patience,
    Progress,
    Seen,
    Work,
    from_event,
)
from nexus_inference_adapters.kinds.ollama import loading
from nexus_inference_adapters.kinds.ollama.answer import Embedded, Line, chunk_of, embeddings_of
from nexus_inference_adapters.kinds.ollama.catalog import Catalog, is_ollama
from nexus_inference_adapters.kinds.ollama.request import PATHS, Room, native_request
from nexus_inference_adapters.openai import (
    ChunkNormaliser,
    Forced,
    LineReader,
    collect,
    decoded,
    embedded_rows,
    forced_names,
)
from nexus_inference_adapters.vocabulary import CHAT

__all__ = ["Ollama"]

LINE = msgspec.json.Decoder(Line)
EMBEDDED = msgspec.json.Decoder(Embedded)


class Ollama(Adapter):
    """Translates OpenAI requests to /api/chat, /api/generate and /api/embed, and the answers back."""

    kind: ClassVar[str] = "ollama"
    ports: ClassVar[tuple[int, ...]] = (11434,)
    abilities: frozenset[memory_pb2.Ability] = frozenset(ABILITIES)
    _catalog: Catalog | None = None

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        return "ollama" if await is_ollama(http) else None

    async def inspect(self) -> Inspection:
        self._catalog = self._catalog or Catalog(self.http, self.config)
        return await self._catalog.inspect()

    async def complete(self, work: Work, patience: Patience) -> Completed:
        if spec_of(work.operation).shape is Shape.CHUNKS:
            return await collect(work, self.stream(work, patience), patience)
        body = native_request(work, self._room(work), stream=False)
        async with self.http.post(PATHS[work.operation], body, patience) as answer:
            return embedded_rows(work, embeddings_of(decoded(EMBEDDED, await answer.read())))

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        events = self._events(work, patience)
        if work.operation == CHAT and forced_names(work.body) is not None:
            # It takes no order to call a tool, and holds its answer to a schema.
            forced = Forced(work.body)
            held = dataclasses.replace(work, body=forced.asked(work.body))
            events = forced.calls(self._events(held, patience))
        async with aclosing(events):
            async for event in events:
                yield event

    async def _events(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        body = native_request(work, self._room(work), stream=True)
        lines, chunks = LineReader(), ChunkNormaliser(work.operation, work.body)
        async with self.http.post(PATHS[work.operation], body, patience) as answer:
            while not chunks.finished and (part := await answer.part()):
                ready, failure = _ready(lines.feed(part), chunks, work.operation)
                if chunks.has_content:
                    patience.content_came()
                if ready:
                    yield ready
                if failure is not None:
                    raise failure
            usage = chunks.finish()
            await answer.drain()
        yield Finish(usage)

    def _room(self, work: Work) -> Room:
        catalog = self._catalog
        if catalog is None:
            return Room(self.config)
        return Room(
            self.config, catalog.context_of(work.model), catalog.gives_logprobs, catalog.thinks(work.model)
        )

    async def load(self, offer: Offer, keep_alive: int | None, patience: Patience) -> int:
        return await loading.load(self.http, self.config, offer, keep_alive, patience)

    async def unload(self, offer: Offer, patience: Patience) -> None:
        await loading.unload(self.http, self.config, offer, patience)

    def pull(self, model: str, patience: Patience) -> AsyncGenerator[Progress, None]:
        return loading.pull(self.http, model, patience)

    async def delete(self, offer: Offer) -> None:
        await loading.delete(self.http, offer)


def _ready(
    arrived: Iterable[bytes], chunks: ChunkNormaliser, operation: int
) -> tuple[list[str], MeshError | None]:
    """The chunks of lines that arrived together, and the failure they ended with, if any."""
    ready: list[str] = []
    try:
        for raw in arrived:
            text = _chunk(raw, chunks, operation)
            ready += [] if text is None else [text]
    except MeshError as error:
        return ready, error
    return ready, None


def _chunk(raw: bytes, chunks: ChunkNormaliser, operation: int) -> str | None:
    """The chunk of one line. Raises what the line reports: Ollama's errors come with status 200 once it streams."""
    if not raw:
        return None
    line = decoded(LINE, raw)
    if line.error:
        raise from_event({"error": line.error})
    return chunks.take(chunk_of(line, operation, saw_tools=chunks.saw_tools))
