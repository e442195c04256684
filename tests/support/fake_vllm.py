"""A fake vLLM 0.32 server: its routes, error shapes and stream habits, with words for tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiohttp import web
from support.fake_openai_script import split_words
from support.fake_server import RECORD, FakeServer, count_words
from support.fake_vllm_generation import Generation
from support.openai_wire import DONE, Call, Json, Kind, Reply, embeddings_body, sse

DEFAULT_MODEL = "org/fake-7b"
DEFAULT_ANSWER = "one two three four five"
TEXT_MAX_TOKENS = 16
NEEDS_TOOL_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
ERROR_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    500: "InternalServerError",
    501: "NotImplementedError",
    503: "ServiceUnavailableError",
}


class FakeVllm(FakeServer):
    """Attributes may be changed at any time; `url` has no /v1.

    answer, thought, tool_call (name, arguments as JSON text): what it generates, one word a token;
    interval: seconds between tokens; fail_after: tokens before a stream breaks with an error and [DONE];
    max_num_seqs: requests that run at once, the rest wait; healthy: False makes /health 503.
    """

    def __init__(
        self,
        *models: str,
        max_model_len: int = 128,
        tool_parser: bool = False,
        embeds: bool = False,
        load_tracking: bool = False,
        api_key: str | None = None,
        max_num_seqs: int = 256,
    ) -> None:
        super().__init__()
        self.models = list(models or [DEFAULT_MODEL])
        self.max_model_len = max_model_len
        self.tool_parser = tool_parser
        self.embeds = embeds
        self.load_tracking = load_tracking
        self.api_key = api_key
        self.answer = DEFAULT_ANSWER
        self.thought = ""
        self.tool_call: tuple[str, str] | None = None
        self.interval = 0.0
        self.fail_after: int | None = None
        self.healthy = True
        self.running = 0
        self.waiting = 0
        self._slots = asyncio.Semaphore(max_num_seqs)

    def routes(self) -> Iterable[web.RouteDef]:
        routes = [
            web.get("/health", self._health),
            web.get("/ping", self._health),
            web.get("/version", self._version),
            web.get("/metrics", self._metrics),
            web.get("/v1/models", self._list_models),
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/completions", self._complete),
            web.post("/v1/embeddings", self._embed),
            web.post("/tokenize", self._tokenize),
            web.get("/{path:.*}", self._unknown),
            web.post("/{path:.*}", self._unknown),
        ]
        return [web.get("/load", self._load), *routes] if self.load_tracking else routes

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _load(self, _: web.Request) -> web.Response:
        return web.json_response({"server_load": self.running + self.waiting})

    async def _metrics(self, _: web.Request) -> web.Response:
        gauges = {
            "num_requests_running": self.running,
            "num_requests_waiting": self.waiting,
            "kv_cache_usage_perc": self.running / 256,
        }
        lines = [
            line
            for name, value in gauges.items()
            for line in (
                f"# TYPE vllm:{name} gauge",
                f'vllm:{name}{{engine="0",model_name="{self.models[0]}"}} {float(value)}',
            )
        ]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    async def _list_models(self, request: web.Request) -> web.Response:
        if self._unauthorized(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        rows = [self._model_row(name) for name in self.models]
        return web.json_response({"object": "list", "data": rows})

    def _model_row(self, name: str) -> Json:
        return {
            "id": name,
            "object": "model",
            "created": 1,
            "owned_by": "vllm",
            "root": name,
            "parent": None,
            "max_model_len": self.max_model_len,
            "permission": [],
        }

    async def _unknown(self, _: web.Request) -> web.Response:
        return web.json_response({"detail": "Not Found"}, status=404)

    async def _tokenize(self, request: web.Request) -> web.Response:
        """Open even with an API key, as in vLLM."""
        body = request[RECORD].body or {}
        count = count_words(body.get("messages") or body.get("prompt"))
        tokens = list(range(count))
        return web.json_response({"count": count, "max_model_len": self.max_model_len, "tokens": tokens})

    async def _embed(self, request: web.Request) -> web.Response:
        body = request[RECORD].body
        refused = self._refusal(request, body)
        if refused is not None:
            return refused
        if not self.embeds:
            return error(501, "The model does not support Embeddings API")
        return web.json_response(embeddings_body(body))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._queue(request, "chat")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._queue(request, "text")

    async def _queue(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        body = request[RECORD].body
        refused = self._refusal(request, body) or self._unservable(Call(kind, body))
        if refused is not None:
            return refused
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            return await self._generate(request, Call(kind, body))
        finally:
            self.running -= 1
            self._slots.release()

    async def _generate(self, request: web.Request, call: Call) -> web.StreamResponse:
        generation = self._plan(request, call)
        if call.stream:
            return await self._stream(request, generation)
        await asyncio.sleep(self.interval * len(generation.words))
        if self.fail_after is not None:
            return error(500, "EngineCore encountered an issue. See stack trace (above) for the root cause.")
        request[RECORD].tokens_sent = generation.completion_tokens
        return web.json_response(generation.whole())

    async def _stream(self, request: web.Request, generation: Generation) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await write_events(response, generation.opening())
        for position in range(len(generation.words)):
            if position == self.fail_after:
                await write_events(response, [error_object(500, "Internal server error")])
                break
            await asyncio.sleep(self.interval)
            await write_events(response, generation.events(position))
            request[RECORD].tokens_sent += generation.call.choices
        else:
            await write_events(response, generation.closing())
        await response.write(DONE)
        return response

    def _plan(self, request: web.Request, call: Call) -> Generation:
        """The client's X-Request-Id becomes the id of the answer."""
        prefix, wanted = ("chatcmpl" if call.kind == "chat" else "cmpl"), request.headers.get("X-Request-Id")
        reply = Reply(call, f"{prefix}-{wanted}") if wanted else Reply(call)
        if self.tool_call is not None:
            return Generation(reply, ["", ""], 0, "tool_calls", self.tool_call)
        thought = split_words(f"{self.thought} ")[:-1] if self.thought else []
        words = [*thought, *split_words(self.answer)]
        limit = call.max_tokens or (TEXT_MAX_TOKENS if call.kind == "text" else len(words))
        return Generation(reply, words[:limit], len(thought), "length" if limit < len(words) else "stop")

    def _unauthorized(self, request: web.Request) -> bool:
        return self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}"

    def _refusal(self, request: web.Request, body: Any) -> web.Response | None:
        if self._unauthorized(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        if not isinstance(body, dict):
            return error(400, "Input should be a valid dictionary")
        if body.get("model") not in self.models:
            return error(404, f"The model `{body.get('model')}` does not exist.", "model")
        return None

    def _unservable(self, call: Call) -> web.Response | None:
        choice = call.body.get("tool_choice", "auto" if call.body.get("tools") else "none")
        if choice == "auto" and not self.tool_parser:
            return error(400, NEEDS_TOOL_PARSER)
        wanted = call.prompt_tokens + (call.max_tokens or 0)
        if call.prompt_tokens >= self.max_model_len or wanted > self.max_model_len:
            return error(400, self._too_long(call.prompt_tokens, wanted))
        return None

    def _too_long(self, prompt_tokens: int, wanted: int) -> str:
        return (
            f"This model's maximum context length is {self.max_model_len} tokens. However, you requested "
            f"{wanted} tokens ({prompt_tokens} in the messages, {wanted - prompt_tokens} in the completion). "
            "Please reduce the length of the messages or completion."
        )


def error_object(status: int, message: str, param: str | None = None) -> Json:
    return {"error": {"message": message, "type": ERROR_TYPES[status], "param": param, "code": status}}


def error(status: int, message: str, param: str | None = None) -> web.Response:
    return web.json_response(error_object(status, message, param), status=status)


async def write_events(response: web.StreamResponse, events: Iterable[Json]) -> None:
    for event in events:
        await response.write(sse(event))


@pytest.fixture
async def fake_vllm() -> AsyncIterator[FakeVllm]:
    async with FakeVllm() as fake:
        yield fake
