"""Ollama's OpenAI facade with its losses, so that a test can show why no adapter should use it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from support.fake_ollama_engine import OllamaEngine, OllamaError, Run
from support.fake_ollama_models import Json
from support.fake_server import RECORD, count_words
from support.openai_wire import DONE, Call, Reply, embeddings_body, error_body, sse, usage

ERROR_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
OPTIONS = {
    "max_tokens": "num_predict",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
}


def v1_routes(engine: OllamaEngine) -> list[web.RouteDef]:
    facade = Facade(engine)
    return [
        web.get("/v1/models", facade.models),
        web.post("/v1/chat/completions", facade.chat),
        web.post("/v1/embeddings", facade.embeddings),
    ]


class Facade:
    def __init__(self, engine: OllamaEngine) -> None:
        self.engine = engine

    async def models(self, _: web.Request) -> web.Response:
        rows = [
            {"id": name, "object": "model", "created": 1, "owned_by": "library"}
            for name in self.engine.models
        ]
        return web.json_response({"object": "list", "data": rows})

    async def embeddings(self, request: web.Request) -> web.Response:
        body = request[RECORD].body
        try:
            self.engine.find(body.get("model"))
        except OllamaError as error:
            return refusal(error)
        return web.json_response(embeddings_body(body))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = request[RECORD].body
        native = native_body(body)
        try:
            model = self.engine.find(body.get("model"), ("completion", "chat"))
            async with self.engine.slot():
                loaded = await self.engine.load(model, {}, None)
                messages = native["messages"]
                run = self.engine.plan(loaded, native, messages, count_words(messages))
                return await self._answer(request, Reply(Call("chat", body)), run)
        except OllamaError as error:
            return refusal(error)

    async def _answer(self, request: web.Request, reply: Reply, run: Run) -> web.StreamResponse:
        if reply.call.stream:
            return await self._stream(request, reply, run)
        await asyncio.sleep(self.engine.interval * run.eval_count)
        message: Json = {"role": "assistant", "content": "".join(run.words)}
        if run.thought:
            message["reasoning"] = "".join(run.thought)
        counts = usage(run.prompt_tokens, run.eval_count)
        return web.json_response(reply.whole([message], run.done_reason, counts))

    async def _stream(self, request: web.Request, reply: Reply, run: Run) -> web.StreamResponse:
        """A runner that dies leaves an empty delta and a clean end: no error, no finish, no [DONE]."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            async for kind, text in self.engine.speak(run):
                key = "reasoning" if kind == "thought" else "content"
                await response.write(sse(reply.delta({"role": "assistant", key: text})))
        except OllamaError:
            await response.write(sse(reply.delta({"role": "assistant", "content": ""})))
            return response
        await response.write(sse(reply.delta({"role": "assistant", "content": ""}, 0, run.done_reason)))
        if reply.call.include_usage:
            counts = usage(run.prompt_tokens, run.eval_count)
            await response.write(sse(reply.chunk([], usage=counts)))
        await response.write(DONE)
        return response


def native_body(body: Json) -> Json:
    """The native request made of an OpenAI one: unknown fields lost, each content part its own message."""
    options: Json = {"temperature": body.get("temperature", 1.0), "top_p": body.get("top_p", 1.0)}
    options |= {native: body[name] for name, native in OPTIONS.items() if body.get(name) is not None}
    return {"options": options, "messages": [part for m in body["messages"] for part in split_parts(m)]}


def split_parts(message: Json) -> list[Json]:
    content: Any = message.get("content")
    if not isinstance(content, list):
        return [message]
    return [{"role": message["role"], "content": part.get("text", "")} for part in content]


def refusal(error: OllamaError) -> web.Response:
    body = error_body(error.message, ERROR_TYPES.get(error.status, "api_error"))
    return web.json_response(body, status=error.status)
