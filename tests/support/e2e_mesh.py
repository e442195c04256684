"""Helpers of the end-to-end tests: a mesh that serves all it was told to, and answers taken apart byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from openai import AsyncOpenAI, OpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.raw_http import RawAnswer, RawConnection, ask, request
from support.waiting import eventually

HELLO: list[Any] = [{"role": "user", "content": "hi"}]
DONE = b"data: [DONE]\n\n"


def engine(kind: str, name: str, url: str, **more: Any) -> str:
    """A [[backends]] table of another kind than openai_compatible."""
    return backend(name, url, **more).replace("openai_compatible", kind)


@asynccontextmanager
async def serving(home: Path, config: str, *models: str, **options: Any) -> AsyncIterator[LiveMesh]:
    """A live mesh whose gateway lists every one of `models`."""
    async with live_mesh(home, config, **options) as mesh:
        await eventually(lambda: _lists(mesh, {*models}), timeout=30, what=f"the mesh serving {models}")
        yield mesh


async def _lists(mesh: LiveMesh, models: set[str]) -> bool:
    return models <= {*await listed_models(mesh.base_url)}


async def listed_models(base_url: str, key: str = "none") -> list[str]:
    """The ids of /v1/models; empty while it can't be read."""
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session,
            session.get(f"{base_url}/models") as answer,
        ):
            return [row["id"] for row in (await answer.json())["data"]] if answer.status == 200 else []
    except aiohttp.ClientError:
        return []


def sdk(mesh: LiveMesh, **options: Any) -> AsyncOpenAI:
    """The unmodified client, without retries unless asked for."""
    return AsyncOpenAI(**{"base_url": mesh.base_url, "api_key": "none", "max_retries": 0, **options})


def sync_sdk(mesh: LiveMesh, **options: Any) -> OpenAI:
    """Use it in asyncio.to_thread: the fakes run in the test's own loop."""
    return OpenAI(**{"base_url": mesh.base_url, "api_key": "none", "max_retries": 0, **options})


async def pour(stream: AsyncIterator[Any], got: list[Any]) -> None:
    """Reads a stream into `got`, which keeps what came before a failure."""
    async for chunk in stream:
        got.append(chunk)  # noqa: PERF401 - a comprehension would lose it


def port_of(mesh: LiveMesh) -> int:
    port = urlsplit(mesh.http).port
    assert port is not None
    return port


def chat_body(model: str, **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": HELLO, **fields}).encode()


async def raw_chat(mesh: LiveMesh, model: str, **fields: Any) -> RawAnswer:
    """The answer to a chat request as it stood on the wire."""
    return await ask(port_of(mesh), request(body=chat_body(model, **fields)))


@asynccontextmanager
async def hanging(mesh: LiveMesh, model: str, **fields: Any) -> AsyncIterator[RawConnection]:
    """A chat request under way; leaving the block hangs up without reading the rest."""
    async with RawConnection(port_of(mesh)) as connection:
        connection.send(request(body=chat_body(model, **fields)))
        yield connection


@dataclass(frozen=True)
class Sse:
    """A stream by its rules: `chunks` in order, `error` of the last frame, `done` when [DONE] stood last."""

    chunks: list[dict[str, Any]]
    error: dict[str, Any] | None
    done: bool

    @property
    def finishes(self) -> dict[int, list[str]]:
        """The finish reasons of each choice."""
        found: dict[int, list[str]] = {}
        for choice in self._choices():
            found.setdefault(choice["index"], []).extend(
                [choice["finish_reason"]] if choice["finish_reason"] else []
            )
        return found

    def text(self, index: int = 0, field: str = "content") -> str:
        return "".join(
            choice["delta"].get(field) or "" for choice in self._choices() if choice["index"] == index
        )

    def _choices(self) -> list[dict[str, Any]]:
        return [choice for chunk in self.chunks for choice in chunk["choices"]]


def read_sse(body: bytes) -> Sse:
    """Takes a body apart; fails on anything an OpenAI client chokes on or is misled by."""
    *blocks, rest = body.split(b"\n\n")
    assert rest == b"", f"the last frame has no blank line: {rest!r}"
    data = [block for block in blocks if not block.startswith(b":")]
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in data), data
    done = data[-1:] == [b"data: [DONE]"]
    frames = [json.loads(block[6:]) for block in (data[:-1] if done else data)]
    error = frames.pop()["error"] if frames and "error" in frames[-1] else None
    assert not any("error" in frame for frame in frames), "a frame after the error"
    assert all(frame["object"] == "chat.completion.chunk" for frame in frames)
    return Sse(frames, error, done)


def assert_error(error: dict[str, Any]) -> None:
    """All four keys of OpenAI's error, the link, and beyond them at most what NEXUS knows of the circumstances."""
    assert set(error) - {"context"} == {"message", "type", "param", "code", "docs"}, error


def assert_honest(answer: RawAnswer, choices: int = 1) -> Sse | None:
    """A stream is whole and says so, or it is broken and says so; None when it was refused before it began."""
    if answer.status != 200:
        assert_error(answer.json["error"])
        return None
    stream = read_sse(answer.body)
    if stream.error is None:
        assert stream.done, "neither an error nor [DONE]"
        assert sorted(stream.finishes) == list(range(choices))
        assert all(len(reasons) == 1 for reasons in stream.finishes.values()), stream.finishes
    else:
        assert not stream.done, "[DONE] after an error"
        assert set(stream.error) - {"context"} == {"message", "type", "param", "code", "docs"}
        assert answer.complete
    return stream
