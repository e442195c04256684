"""The lines a fake Ollama writes: chunk shapes, metrics, NDJSON streams, error bodies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from support.fake_ollama_engine import OllamaError, Run
from support.fake_ollama_models import Json
from support.fake_server import RECORD

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Wrap = Callable[[str, str], Json]
"""(content, thought) -> the fields of a chat or generate line that carry them."""


def answering_errors(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except OllamaError as error:
            return web.json_response({"error": error.message}, status=error.status)

    return answer


def body_of(request: web.Request) -> Json:
    body = request[RECORD].body
    if not isinstance(body, dict):
        raise OllamaError(400, "missing request body" if not request[RECORD].raw else "invalid JSON body")
    return body


def header(body: Json) -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return {"model": body["model"], "created_at": f"{now}123Z"}


def chat_message(content: str, thought: str) -> Json:
    thinking = {"thinking": thought} if thought else {}
    return {"message": {"role": "assistant", "content": content, **thinking}}


def generate_fields(content: str, thought: str) -> Json:
    return {"response": content, **({"thinking": thought} if thought else {})}


def fields(wrap: Wrap, pair: tuple[str, str]) -> Json:
    kind, text = pair
    return wrap("", text) if kind == "thought" else wrap(text, "")


def metrics(run: Run, started: int) -> Json:
    """Durations in nanoseconds. A count of zero is left out."""
    total = time.monotonic_ns() - started
    counts = {"prompt_eval_count": run.prompt_tokens, "eval_count": run.eval_count}
    durations = {"total_duration": total, "load_duration": 1_000_000, "prompt_eval_duration": 2_000_000}
    durations["eval_duration"] = 3_000_000 * run.eval_count
    return {key: value for key, value in {**durations, **counts}.items() if value}


def merge(lines: list[Json], wrap: Wrap) -> Json:
    """The one answer that `stream: false` gives."""
    parts = [line["message"] if wrap is chat_message else line for line in lines]
    key = "content" if wrap is chat_message else "response"
    text = "".join(part.get(key, "") for part in parts)
    thought = "".join(part.get("thinking", "") for part in parts)
    whole = {**lines[-1], **wrap(text, thought)}
    calls = [call for part in parts for call in part.get("tool_calls", [])]
    if calls:
        whole["message"]["tool_calls"] = calls
    return whole


async def stream_lines(request: web.Request, lines: AsyncIterator[Json]) -> web.StreamResponse:
    """NDJSON; an error after the first line is itself a line, with the status long sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    try:
        async for line in lines:
            await response.prepare(request)
            await response.write(encode(line))
    except OllamaError as error:
        if not response.prepared:
            raise
        await response.write(encode({"error": error.message}))
    return response


async def iterate(lines: list[Json], pause: float = 0.0) -> AsyncIterator[Json]:
    """The lines, with a pause after the first."""
    for number, line in enumerate(lines):
        if number == 1:
            await asyncio.sleep(pause)
        yield line


def encode(line: Any) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
