"""The seam behind the HTTP edge: a pipeline that answers from a script, in memory, and notes what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.access import Principal
from nexus_gateway.core.request import InferenceRequest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_routing import Explanation, Model, Verdict
from support.edge_lifecycle import EdgeLifecycle
from support.routing_targets import target

SERVED = inference_pb2.Served(model="served-model", backend="box", instance="node/adapter/one")
KEY = "nx_test_good"
HANG = object()
"""In a script: wait for ever, as a backend does that is still at work."""

Step = inference_pb2.StreamResponse | MeshError | Exception | float | object


@dataclass
class Row:
    id: str
    created: int = 1_700_000_000
    owned_by: str = "nexus"
    operations: frozenset[int] = frozenset()
    parameters: tuple[tuple[int, str], ...] = ()


@dataclass
class State:
    ready: bool = True
    missing: list[str] = field(default_factory=list)


class EdgePipeline:
    """Set `steps` for streams, `body` or `failure` for whole answers; `keys` = None means the edge is open."""

    def __init__(self) -> None:
        self.requests: list[InferenceRequest] = []
        self.turned_away: list[tuple[int, Reason]] = []
        self.running = 0
        self.cancelled = 0
        self.failure: Exception | None = None
        self.counted = inference_pb2.CountTokensResponse(prompt_tokens=7, method="fake", served=SERVED)
        self.explained_with = -1
        self.hang = False
        self.body: str | None = None
        self.steps: list[Step] = text_steps("Hello", " world")
        self.rows = [Row("llama3.1:70b"), Row("org/model:tag")]
        self.offered: dict[str, dict[int, tuple[Model, ...]]] = {}
        """By a model's name and an operation, what backends say of it."""
        self.state = State()
        self.keys: set[str] | None = None
        self.lifecycle = EdgeLifecycle()
        self.files: Any = None
        """No URL that is asked for here has any."""
        self.fetching: Any = None
        self.works: Any = None
        """No store: what is done with one is tried at a whole gateway."""
        self.principal: Callable[[str], Principal] = self._caller
        """Who a credential makes the caller."""

    async def authenticate(self, credential: str | None) -> Principal:
        if self.keys is not None and credential not in self.keys:
            raise MeshError(
                Reason.CALLER_KEY, "The API key is missing or unknown. Send one as a bearer token."
            )
        return self.principal(credential or "anonymous")

    def _caller(self, name: str) -> Principal:
        """On an open edge anybody may see all."""
        return Principal(name, name, manage=self.keys is None)

    def refused(self, operation: int, error: MeshError) -> None:
        self.turned_away.append((operation, error.reason))

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        with self._at_work(request):
            if self.hang:
                await asyncio.Event().wait()
            if self.failure is not None:
                raise self.failure
            body = self.body if self.body is not None else default_body(request)
            return inference_pb2.CompleteResponse(body=body, served=SERVED)

    @asynccontextmanager
    async def stream(
        self, request: InferenceRequest
    ) -> AsyncIterator[AsyncIterator[inference_pb2.StreamResponse]]:
        with self._at_work(request):
            if self.hang:
                await asyncio.Event().wait()
            if self.failure is not None:
                raise self.failure
            yield self._play()

    async def check(self, request: InferenceRequest) -> frozenset[str]:
        raise NotImplementedError

    async def count(self, request: InferenceRequest) -> inference_pb2.CountTokensResponse:
        if self.failure is not None:
            raise self.failure
        return self.counted

    async def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation:
        self.requests.append(request)
        self.explained_with = prompt_tokens
        taken, left = target("box", zone="restricted"), target("cloud", zone="open")
        verdicts = (
            Verdict(taken, 1, "", "best", "served-model"),
            Verdict(left, 0, "zone", "is in zone open, not restricted", "served-model"),
        )
        return Explanation("served-model", verdicts, frozenset({"restricted"}), "standard")

    def models(self, principal: Principal | None = None) -> Sequence[Row]:
        return self.rows

    def model(self, name: str, principal: Principal) -> Row:
        found = next((row for row in self.rows if row.id == name), None)
        if found is None:
            raise MeshError(
                Reason.MODEL_NOT_FOUND, "No backend offers that model.", metadata={"param": "model"}
            )
        return found

    def offers(self, name: str, principal: Principal) -> dict[int, tuple[Model, ...]]:
        return self.offered.get(name, {})

    def readiness(self) -> State:
        return self.state

    async def _play(self) -> AsyncIterator[inference_pb2.StreamResponse]:
        served: inference_pb2.Served | None = SERVED
        for step in self.steps:
            if step is HANG:
                await asyncio.Event().wait()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, Exception):
                raise step
            elif isinstance(step, inference_pb2.StreamResponse):
                message = inference_pb2.StreamResponse()
                message.CopyFrom(step)
                if served is not None:
                    message.served.CopyFrom(served)
                    served = None
                yield message

    def _at_work(self, request: InferenceRequest) -> _Work:
        self.requests.append(request)
        return _Work(self)


class _Work:
    """Counts a request as running, and as cancelled when that is how it ends."""

    def __init__(self, pipeline: EdgePipeline) -> None:
        self._pipeline = pipeline

    def __enter__(self) -> None:
        self._pipeline.running += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pipeline.running -= 1
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            self._pipeline.cancelled += 1


def chunks(*choices: dict[str, Any] | Sequence[dict[str, Any]]) -> inference_pb2.StreamResponse:
    """One message; each argument is one chunk's choice or choices."""
    texts = [
        msgspec.json.encode({"choices": [one] if isinstance(one, dict) else list(one)}).decode()
        for one in choices
    ]
    return raw_chunks(*texts)


def raw_chunks(*texts: str) -> inference_pb2.StreamResponse:
    return inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=texts))


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "finish_reason": finish}


def finish(usage: inference_pb2.Usage | None = None) -> inference_pb2.StreamResponse:
    return inference_pb2.StreamResponse(finish=inference_pb2.Finish(usage=usage))


def usage(prompt: int = 3, completion: int = 2) -> inference_pb2.Usage:
    return inference_pb2.Usage(prompt_tokens=prompt, completion_tokens=completion)


def text_steps(*pieces: str) -> list[Step]:
    """A good chat stream of these pieces."""
    return [
        *(chunks(delta(content=piece)) for piece in pieces),
        chunks(delta(finish="stop")),
        finish(usage()),
    ]


def default_body(request: InferenceRequest) -> str:
    makers: dict[int, Callable[[int], dict[str, Any]]] = {
        model_pb2.OPERATION_CHAT: _chat,
        model_pb2.OPERATION_COMPLETION: _completion,
        model_pb2.OPERATION_EMBEDDING: _embedding,
    }
    return msgspec.json.encode(makers[request.operation](request.answers)).decode()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def _chat(answers: int) -> dict[str, Any]:
    choices: Iterator[dict[str, Any]] = (
        {
            "index": index,
            "message": {"role": "assistant", "content": "Hello world", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
        for index in range(answers)
    )
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "served-model",
        "choices": list(choices),
        "usage": USAGE,
    }


def _completion(answers: int) -> dict[str, Any]:
    choices = [
        {"index": index, "text": "Hello world", "finish_reason": "stop", "logprobs": None}
        for index in range(answers)
    ]
    return {**_chat(0), "id": "cmpl-1", "object": "text_completion", "choices": choices}


def _embedding(answers: int) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": [index + 0.5, -0.25, 0.125]}
        for index in range(answers)
    ]
    return {
        "object": "list",
        "data": data[::-1],
        "model": "served-model",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
