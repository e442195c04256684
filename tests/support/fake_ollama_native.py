"""Ollama's own inference API: /api/chat, /api/generate, /api/embed, /api/embeddings."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from aiohttp import web
from support.fake_ollama_engine import OllamaEngine, OllamaError, Run
from support.fake_ollama_lines import (
    Wrap,
    answering_errors,
    body_of,
    chat_message,
    fields,
    generate_fields,
    header,
    merge,
    metrics,
    stream_lines,
)
from support.fake_ollama_models import Json
from support.fake_server import RECORD, count_words
from support.openai_wire import embedding

SILENCE = ("word", "")
NOT_TEXT = "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
NOT_AN_OBJECT = (
    "json: cannot unmarshal string into Go struct field"
    " ToolCallFunction.messages.tool_calls.function.arguments of type api.ToolCallFunctionArguments"
)


def inference_routes(engine: OllamaEngine) -> list[web.RouteDef]:
    inference = Inference(engine)
    return [
        web.post("/api/chat", answering_errors(inference.chat)),
        web.post("/api/generate", answering_errors(inference.generate)),
        web.post("/api/embed", answering_errors(inference.embed)),
        web.post("/api/embeddings", answering_errors(inference.embeddings)),
    ]


class Inference:
    def __init__(self, engine: OllamaEngine) -> None:
        self.engine = engine

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = body_of(request)
        messages = body.get("messages") or []
        check_messages(messages)
        return await self._infer(request, body, messages, chat_message)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        body = body_of(request)
        messages = [{"role": "user", "content": body["prompt"]}] if body.get("prompt") else []
        return await self._infer(request, body, messages, generate_fields)

    async def embed(self, request: web.Request) -> web.Response:
        started, body = time.monotonic_ns(), body_of(request)
        model = self.engine.find(body.get("model"))
        given = body.get("input") or []
        inputs = [given] if isinstance(given, str) else given
        vectors, tokens = await self._vectors(model.name, body, inputs)
        unit = [normalised(vector) for vector in vectors]
        answer = {"model": body["model"], "embeddings": unit, "prompt_eval_count": tokens}
        durations = {"total_duration": time.monotonic_ns() - started, "load_duration": 1_000_000}
        return web.json_response(answer | durations)

    async def embeddings(self, request: web.Request) -> web.Response:
        body = body_of(request)
        model = self.engine.find(body.get("model"))
        prompt = body.get("prompt")
        vectors, _ = await self._vectors(model.name, body, [prompt] if prompt else [])
        return web.json_response({"embedding": vectors[0] if vectors else []})

    async def _vectors(self, name: str, body: Json, inputs: list[str]) -> tuple[list[list[float]], int]:
        model = self.engine.find(name)
        if "embedding" not in model.capabilities:
            raise OllamaError(501, "this model does not support embeddings")
        loaded = await self.engine.load(model, body.get("options") or {}, body.get("keep_alive"))
        truncate = body.get("truncate", True)
        tokens = sum(self.engine.fit(count_words(text), loaded.num_ctx, truncate) for text in inputs)
        dimensions = body.get("dimensions") or model.embedding_length
        return [embedding(text, dimensions) for text in inputs], tokens

    async def _infer(
        self, request: web.Request, body: Json, messages: list[Json], wrap: Wrap
    ) -> web.StreamResponse:
        model = self.engine.find(body.get("model"), *needed_capabilities(body, messages, wrap))
        if not messages:
            return await self._preload(body, wrap)
        async with self.engine.slot():
            started = time.monotonic_ns()
            loaded = await self.engine.load(
                model, body.get("options") or {}, body.get("keep_alive"), body.get("shift")
            )
            run = self.engine.plan(loaded, body, messages, count_words(messages))
            request[RECORD].prompt_tokens = run.prompt_tokens
            lines = self._lines(request, body, run, wrap, started)
            if body.get("stream", True):
                return await stream_lines(request, lines)
            return web.json_response(merge([line async for line in lines], wrap))

    async def _preload(self, body: Json, wrap: Wrap) -> web.Response:
        """A request without a prompt loads the model, or unloads it when keep_alive is 0. Never streamed."""
        model = self.engine.find(body.get("model"))
        unload = body.get("keep_alive") in (0, "0")
        if unload:
            self.engine.unload(model)
        else:
            await self.engine.load(
                model, body.get("options") or {}, body.get("keep_alive"), body.get("shift")
            )
        reason = "unload" if unload else "load"
        return web.json_response({**header(body), **wrap("", ""), "done_reason": reason, "done": True})

    async def _lines(
        self, request: web.Request, body: Json, run: Run, wrap: Wrap, started: int
    ) -> AsyncIterator[Json]:
        """The last word is held back, to come with the closing line if `content_in_done`."""

        def line(pair: tuple[str, str], **more: Any) -> Json:
            likely = logprobs(pair, body) if self.engine.gives_logprobs else {}
            return {**header(body), **run.model.remote, **fields(wrap, pair), **likely, **more}

        held = SILENCE
        async with aclosing(self.engine.speak(run)) as pairs:
            async for pair in pairs:
                if held != SILENCE:
                    yield line(held, done=False)
                held = pair
                request[RECORD].tokens_sent += 1
        calls = self._tool_calls(body)
        if held != SILENCE and (calls or not self.engine.content_in_done):
            yield line(held, done=False)
            held = SILENCE
        if calls:
            yield line(SILENCE, message={"role": "assistant", "content": "", "tool_calls": calls}, done=False)
        yield line(held, done=True, done_reason=run.done_reason, **metrics(run, started))

    def _tool_calls(self, body: Json) -> list[Json]:
        """Whole calls, with arguments as objects; ids only from models that give them."""
        if not body.get("tools"):
            return []
        return [
            {
                **({"id": f"call_{index}"} if self.engine.tool_call_ids else {}),
                "function": {"index": index, "name": name, "arguments": arguments},
            }
            for index, (name, arguments) in enumerate(self.engine.tool_calls)
        ]


def logprobs(pair: tuple[str, str], body: Json) -> Json:
    """Of the word of a line, where they are asked for."""
    if not body.get("logprobs") or not pair[1]:
        return {}
    top = [{"token": pair[1], "logprob": -0.5}, {"token": "other", "logprob": -1.5}][
        : body.get("top_logprobs", 0)
    ]
    return {"logprobs": [{"token": pair[1], "logprob": -0.5, **({"top_logprobs": top} if top else {})}]}


def normalised(vector: list[float]) -> list[float]:
    """/api/embed gives unit vectors, the older /api/embeddings does not."""
    length = math.hypot(*vector)
    return [value / length for value in vector]


def check_messages(messages: list[Json]) -> None:
    """What Go's JSON decoder refuses."""
    for message in messages:
        if isinstance(message.get("content"), list):
            raise OllamaError(400, NOT_TEXT)
        for call in message.get("tool_calls") or []:
            if not isinstance(call["function"].get("arguments", {}), dict):
                raise OllamaError(400, NOT_AN_OBJECT)


def needed_capabilities(body: Json, messages: list[Json], wrap: Wrap) -> list[tuple[str, str]]:
    """(capability, word for it in the error) that this request needs."""
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise OllamaError(400, "top_logprobs must be between 0 and 20")
    needs = [("completion", "chat" if wrap is chat_message else "generate")]
    needs += [("tools", "tools")] if body.get("tools") else []
    needs += [("thinking", "thinking")] if body.get("think") else []
    has_images = bool(body.get("images")) or any(message.get("images") for message in messages)
    return needs + ([("vision", "vision")] if has_images else [])
