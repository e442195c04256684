"""The adapter for everything that speaks OpenAI's API: vLLM, llama.cpp, LM Studio, exo, OpenAI and others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Answer,
    Completed,
    Count,
    Event,
    Finish,
    Http,
    Inspection,
    Patience,
    Seen,
    Work,
    malformed,
)
from nexus_inference_adapters.openai.collected import at_once, collect
from nexus_inference_adapters.openai.event_stream import ChunkNormaliser, EventStream
from nexus_inference_adapters.openai.forced_tools import Forced, forced_names
from nexus_inference_adapters.openai.normalise import whole_answer
from nexus_inference_adapters.openai.requests import (
    IGNORED,
    STREAM,
    Differences,
    check,
    check_forwarded,
    set_parameters,
)
from nexus_inference_adapters.openai.servers import SERVERS, Listing, Server, detect
from nexus_inference_adapters.vocabulary import CHAT

__all__ = ["OpenAICompatible"]

UNKNOWN = "other"
TOOL_CHOICE, JSON = model_pb2.CAPABILITY_TOOL_CHOICE, model_pb2.CAPABILITY_JSON


class OpenAICompatible(Adapter):
    """Bodies pass through as far as the engine's list goes; answers are brought to the normal form."""

    kind: ClassVar[str] = "openai_compatible"
    ports: ClassVar[tuple[int, ...]] = (
        8080,
        8081,
        8082,
        8083,
        8000,
        8001,
        1234,
        52415,
    )  # llama.cpp and mlx-lm, vLLM, LM Studio, exo
    instead: ClassVar[str] = "OpenAI's API has no way to: start and stop the server with the models you want."
    server: Server | None = None

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self.differences = Differences()
        self._known = False
        """Whether it has been asked what it is behind this API."""

    @property
    def engine(self) -> str:
        """The name under which the tables of requests know it."""
        return self.server.name if self.server is not None else UNKNOWN

    async def inspect(self) -> Inspection:
        if self.server is None:
            self.server = await detect(self.http)
        try:
            return await self.server.inspect(self.http, self.config)
        except MeshError:
            self._forget()  # another server may answer at this address next time
            raise

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        told = listing.status == 200 and isinstance(listing.dig("data"), list)
        if cls.kind != OpenAICompatible.kind or not told:
            return None
        rows = Listing(listing.rows("data"))
        found = next(server.name for server in SERVERS if server.fits(rows))
        return None if found in (UNKNOWN, "openai") else found

    async def recognised(self, kinds: Iterable[type[Adapter]]) -> Adapter:
        if self.kind != OpenAICompatible.kind or self._known:
            return self
        self.server = self.server or await detect(self.http)
        if self.engine == UNKNOWN:
            listing = await self.http.look("GET", "/v1/models")
            for kind in kinds:
                if not issubclass(kind, OpenAICompatible) and await kind.speaks(self.http, listing):
                    return kind(self.config, self.http)
        self._known = True
        return self

    def request(self, work: Work, *, stream: bool) -> dict[str, Any]:  # noqa: ARG002 - others need to know
        """What is asked, before the differences. Raises UNSUPPORTED_PARAMETER for what is not for this engine."""
        body = check_forwarded(self.engine, work.body, work.granted | spec_of(work.operation).inputs)
        if (ignored := IGNORED.get(self.engine)) is not None:
            check(set_parameters(body), ignored, self.engine)
        if (forced := self._forced(work)) is not None:
            body = forced.asked(body)
        body = {key: value for key, value in body.items() if key not in ("stream", "stream_options")}
        body["model"] = work.model
        if work.continues and self.server is not None:
            body |= self.server.prefill
        return body

    def judge(self, error: MeshError) -> MeshError:
        """What a refusal by this kind of backend means; the general table has already been asked."""
        return error

    def streams_only(self, work: Work) -> bool:
        """Whether a whole answer is read as a stream."""
        return self.server is not None and self.server.streams_only(work) and not self.differences.asks_whole

    async def count(self, work: Work) -> Count | None:
        if self.server is None or self.server.counter is None:
            return None
        asked, _ = self.differences.apply(self.engine, work, self.request(work, stream=False), stream=False)
        tokens = await self.server.counter(self.http, work.operation, asked)
        return None if tokens is None else Count(tokens, self.server.name)

    async def complete(self, work: Work, patience: Patience) -> Completed:
        if self.streams_only(work) or self._forced(work) is not None:
            return await collect(work, self._stream(work, patience, whole=True), patience)
        async with self._post(work, patience, stream=False, whole=True) as answer:
            return whole_answer(work, await answer.read())

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        async with aclosing(self._stream(work, patience, whole=False)) as events:
            async for event in events:
                yield event

    def _stream(self, work: Work, patience: Patience, *, whole: bool) -> AsyncGenerator[Event, None]:
        events = self._events(work, patience, whole=whole)
        forced = self._forced(work)
        return events if forced is None else forced.calls(events)

    async def _events(self, work: Work, patience: Patience, *, whole: bool) -> AsyncGenerator[Event, None]:
        async with self._post(work, patience, stream=True, whole=whole) as answer:
            kind = answer.headers.get("Content-Type", "").lower()
            if kind.startswith("application/json"):
                # It does not stream, or has an error to tell.
                completed = whole_answer(work, await answer.read())
                self.differences.leave_out([STREAM])
                for event in at_once(completed, work.operation):
                    yield event
                return
            if not kind.startswith("text/event-stream"):
                raise malformed("The backend did not answer with an event stream.")
            events = EventStream(ChunkNormaliser(work.operation, work.body))
            while not events.done and (part := await events.next_part(answer)):
                arrived = events.take(part)
                if events.chunks.has_content:
                    patience.content_came()
                if arrived is not None:
                    yield arrived
                if events.failure is not None:
                    raise events.failure
            usage = events.finish()
            if usage is not None:
                self.differences.readmit(STREAM)
            elif whole and self.engine == UNKNOWN and not events.chunks.counts:
                self.differences.leave_out([STREAM])  # what it streams it does not count
            await answer.drain()
            yield Finish(usage)

    @asynccontextmanager
    async def _post(
        self, work: Work, patience: Patience, *, stream: bool, whole: bool
    ) -> AsyncIterator[Answer]:
        """The answer to a request; one that was refused for what was added to it is sent once more without."""
        body = self.request(work, stream=stream)
        asked, applied = self.differences.apply(self.engine, work, body, stream=stream)
        try:
            answer = await self._send(work, asked, patience)
        except MeshError as error:
            suspects = self.differences.suspects(error, applied, whole=whole)
            if not suspects:
                raise self.judge(error) from None
            without, applied = self.differences.apply(
                self.engine, work, body, stream=stream, without=suspects
            )
            try:
                answer = await self._send(work, without, patience)
            except MeshError as again:
                raise self.judge(again) from None
            self.differences.leave_out(suspects)
        self.differences.accept(applied)
        try:
            yield answer
        finally:
            answer.close()

    async def _send(self, work: Work, body: dict[str, Any], patience: Patience) -> Answer:
        keep = "stream" not in body or self.server is None or self.server.keeps_after_stream
        return await self.http.send("/v1" + spec_of(work.operation).path, body, patience, keep=keep)

    def _forced(self, work: Work) -> Forced | None:
        """A tool call that must be brought about by a schema, as this engine takes no order to call one."""
        if work.operation != CHAT or not self.holds_schemas or not work.body.get("tool_choice"):
            return None
        if forced_names(work.body) is None:
            return None
        known = () if self.server is None else self.server.capabilities
        own = known if self.config.capabilities is None else self.config.capabilities
        if "tool_choice" in own and not self.learned.misses(work.offered, TOOL_CHOICE):
            return None
        if "json" not in own or self.learned.misses(work.offered, JSON):
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                "The model cannot be made to call a tool on its backend: it keeps neither tool_choice nor a schema.",
                metadata={"param": "tool_choice"},
            )
        return Forced(work.body)

    def _forget(self) -> None:
        self.server = None
        self._known = False
        self.differences.forget()
        self.learned.forget()
