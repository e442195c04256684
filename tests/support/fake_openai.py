"""A fake OpenAI-compatible backend whose behaviour, fault by fault, is set with modes.

async with FakeOpenAI() as fake:
    fake.mode = modes.die_after(5)             # every request from now on
    fake.script(modes.error(500), modes.ok())  # first the next two requests
    fake.model_modes["slow"] = modes.slow_first_token(3)  # always, for that model
    fake.requests[-1].cancelled
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiohttp import web
from support import fake_openai_modes as modes
from support.fake_openai_script import Answer, Close, Hang, Head, Mode, Reset, Send, Step, Wait
from support.fake_server import RECORD, FakeServer, RecordedRequest
from support.openai_wire import Call, Kind, error_body

DEFAULT_MODEL = "fake-model"
OPERATIONS: dict[str, Kind] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text",
    "/v1/embeddings": "embedding",
    "/v1/audio/speech": "speech",
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/translations": "transcription",
    "/v1/images/generations": "image",
}
FORM_KINDS: set[Kind] = {"transcription"}
"""Their bodies are multipart: tests read them from `record.raw`."""
RST_ON_CLOSE = struct.pack("ii", 1, 0)


class FakeOpenAI(FakeServer):
    """Chat, text completions, embeddings, models, speech, transcriptions, images; `url` has no /v1.

    `models` are the names it answers to (404 for others); with `api_key` it wants that bearer token.
    """

    def __init__(self, *models: str, mode: Mode | None = None, api_key: str | None = None) -> None:
        super().__init__()
        self.models = list(models or [DEFAULT_MODEL])
        self.mode = mode or modes.ok()
        self.model_modes: dict[str, Mode] = {}
        self.api_key = api_key
        self.healthy = True
        self.streams = True
        """False: it answers whole, whatever it is asked."""
        self._scripted: deque[Mode] = deque()

    @property
    def calls(self) -> list[RecordedRequest]:
        """The requests that asked for work: every POST, without health checks and listings."""
        return [record for record in self.requests if record.method == "POST"]

    @property
    def tokens_sent(self) -> int:
        """The fake's own count of what it generated."""
        return sum(record.tokens_sent for record in self.requests)

    def script(self, *once: Mode) -> None:
        """The next requests use these modes, one each, before `mode` applies again."""
        self._scripted.extend(once)

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._list_models),
            *(web.post(path, self._generate) for path in OPERATIONS),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, status=200 if self.healthy else 503)

    async def _list_models(self, request: web.Request) -> web.Response:
        refused = self._refusal(request)
        if refused is not None:
            return refused
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in self.models]
        return web.json_response({"object": "list", "data": rows})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        record, kind = request[RECORD], OPERATIONS[request.path]
        body = record.body if kind not in FORM_KINDS else {"model": self.models[0]}
        refused = self._refusal(request) or self._bad_body(body)
        if refused is not None:
            return refused
        call = Call(kind, body if self.streams else {**body, "stream": False})
        record.prompt_tokens = call.prompt_tokens
        return await perform(request, self._next_mode(call)(call))

    def _next_mode(self, call: Call) -> Mode:
        return self._scripted.popleft() if self._scripted else self.model_modes.get(call.model, self.mode)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}":
            return None
        return web.json_response(error_body("Incorrect API key.", code="invalid_api_key"), status=401)

    def _bad_body(self, body: Any) -> web.Response | None:
        if not isinstance(body, dict):
            return web.json_response(error_body("The body is not a JSON object."), status=400)
        if body.get("model") not in self.models:
            missing = error_body(f"The model {body.get('model')!r} does not exist.", code="model_not_found")
            return web.json_response(missing, status=404)
        return None


async def perform(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Play an answer's script on the connection."""
    response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
    response.content_type = answer.content_type
    response.content_length = answer.content_length
    for step in answer.steps:
        if not await play(request, response, step):
            break
    return response


async def play(request: web.Request, response: web.StreamResponse, step: Step) -> bool:
    """One step; False when the connection is gone."""
    match step:
        case Head():
            await response.prepare(request)
        case Send(data, tokens):
            await response.prepare(request)
            await response.write(data)
            request[RECORD].tokens_sent += tokens
        case Wait(seconds):
            await asyncio.sleep(seconds)
        case Hang():
            await asyncio.Event().wait()
        case Reset() | Close():
            hang_up(request, reset=isinstance(step, Reset))
            return False
    return True


def hang_up(request: web.Request, reset: bool) -> None:
    """Cut the TCP connection. Without lingering the kernel sends RST in place of FIN, losing unread bytes."""
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        transport.abort()
    else:
        transport.close()


@pytest.fixture
async def fake_openai() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as fake:
        yield fake
