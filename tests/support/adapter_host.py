"""An adapter's backends without the gRPC around them: what a test gets to serve and to ask."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.contract.work import Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.host.host import Host
from nexus_inference_adapters.vocabulary import OPERATIONS
from nexus_mesh.process.registration import StatusBoard
from nexus_mesh.settings import Timeouts
from support.waiting import eventually

HELLO = {"messages": [{"role": "user", "content": "say hello"}]}


@dataclass
class Streamed:
    """A stream as it came: the parsed chunks, how they were grouped, and its end."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    finish: Finish | None = None

    @property
    def choices(self) -> list[dict[str, Any]]:
        return [choice for chunk in self.chunks for choice in chunk["choices"]]

    def text(self, index: int = 0, key: str = "content") -> str:
        deltas = [choice for choice in self.choices if choice["index"] == index]
        return "".join(delta.get("text") or delta.get("delta", {}).get(key) or "" for delta in deltas)

    @property
    def finish_reasons(self) -> list[str]:
        return [choice["finish_reason"] for choice in self.choices if choice["finish_reason"]]


@dataclass
class Bench:
    """A host with backends, and short words to ask them."""

    host: Host
    board: StatusBoard
    _names: Any = field(default_factory=lambda: (f"b{number}" for number in itertools.count(1)))

    async def serve(self, kind: str, url: str | None = None, **config: Any) -> Backend:
        """Adds a backend and waits for its first good inspection."""
        name = config.pop("name", None) or next(self._names)
        backend = self.host.add(BackendConfig(name=name, kind=kind, url=url, **config))
        await eventually(
            lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, 20.0, f"{name} to become active"
        )
        return backend

    async def complete(
        self, backend: Backend, body: dict[str, Any], operation: str = "chat", model: str | None = None
    ) -> dict[str, Any]:
        completed = await backend.complete(
            envelope(backend, body, operation, model), json.loads(json.dumps(body))
        )
        return json.loads(completed.body)

    async def stream(
        self, backend: Backend, body: dict[str, Any], operation: str = "chat", model: str | None = None
    ) -> Streamed:
        streamed = Streamed()
        events = backend.stream(envelope(backend, body, operation, model), json.loads(json.dumps(body)))
        async with aclosing(events):
            async for event in events:
                assert streamed.finish is None, "finish was not the last event"
                if isinstance(event, list):
                    streamed.chunks += [json.loads(text) for text in event]
                    streamed.messages.append(len(event))
                elif isinstance(event, Progress):
                    streamed.progress.append(event)
                elif isinstance(event, Media):
                    streamed.media.append(event)
                elif isinstance(event, Finish):
                    streamed.finish = event
        return streamed


def envelope(
    backend: Backend, body: dict[str, Any], operation: str = "chat", model: str | None = None
) -> inference_pb2.Envelope:
    chosen = model or body.get("model") or backend.inspection.offers[0].model.id
    return inference_pb2.Envelope(
        operation=OPERATIONS[operation], model=chosen, body=json.dumps(body), request_id="req_abc"
    )


@asynccontextmanager
async def adapter_bench(more: Mapping[str, Any] | None = None, **timeouts: float) -> AsyncIterator[Bench]:
    """A host whose requests have these limits (seconds), and `more` settings."""
    board = StatusBoard()
    given = {"timeouts": Timeouts(**timeouts), "models": {}, "backends": (), "skip_ports": ()}
    settings = AdapterSettings.model_construct(**{**given, "discovery": False, **(more or {})})
    async with Host(settings, board) as host:
        yield Bench(host, board)
