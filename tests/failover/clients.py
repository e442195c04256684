"""One request of the exam, by the official client, asynchronous or not, or byte by byte: what its maker saw of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import openai
from support.e2e_mesh import DONE, assert_error, read_sse

__all__ = ["READERS", "Clients", "Reader", "Seen"]

Reader = Literal["raw", "sdk", "sync"]
READERS: tuple[Reader, ...] = ("raw", "sdk", "sync")
THREADS = 256
"""At once, of the blocking client: it must not wait where nobody measures it."""
State = Literal["whole", "told", "hung", "cut", "lied"]
"""`whole`: an answer that ends well; `told`: an explicit error, before or in mid-answer; the others are failures."""


@dataclass
class Seen:
    """`code` is the error's; `chunks` are the pieces of content."""

    reader: Reader
    state: State = "hung"
    text: str = ""
    finish: str | None = None
    chunks: int = 0
    usage: Mapping[str, int] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    code: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        if self.state == "whole":
            return f"whole by {self.headers.get('x-nexus-backend', '?')}, {self.finish}"
        if self.state == "told":
            where = f"after {self.chunks} chunks" if self.chunks else f"status {self.status}"
            return f"error {self.code}, {where}"
        return f"{self.state} {self.detail}".strip()


class Clients:
    """`async with Clients(base_url, patience) as clients`; `patience` in seconds, for a whole request."""

    def __init__(self, base_url: str, patience: float) -> None:
        self._url = f"{base_url}/chat/completions"
        self._patience = patience
        self._options: dict[str, Any] = {
            "base_url": base_url, "api_key": "none", "max_retries": 0, "timeout": patience,
        }  # fmt: skip

    async def __aenter__(self) -> Clients:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
        self._sdk = openai.AsyncOpenAI(**self._options)
        self._blocking = openai.OpenAI(**self._options)
        self._threads = ThreadPoolExecutor(THREADS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._sdk.close()
        self._blocking.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, reader: Reader, body: dict[str, Any]) -> Seen:
        """What became of the request; it never raises for what the mesh did."""
        seen = Seen(reader)
        try:
            async with asyncio.timeout(self._patience):
                await {"raw": self._raw, "sdk": self._async, "sync": self._sync}[reader](body, seen)
        except (TimeoutError, openai.APITimeoutError):
            seen.state, seen.detail = "hung", f"for {self._patience:g} s, {seen.chunks} chunks"
        except openai.APIStatusError as error:
            seen.state, seen.status, seen.code = "told", error.status_code, error.code
            seen.headers = {name.lower(): value for name, value in error.response.headers.items()}
        except (aiohttp.ClientError, openai.APIConnectionError) as error:
            seen.state, seen.detail = "cut", repr(error)[:200]
        except openai.APIError as error:
            seen.state, seen.code = "told", error.code
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            seen.state, seen.detail = "lied", repr(error)[:300]
        return seen

    async def _raw(self, body: dict[str, Any], seen: Seen) -> None:
        async with self._session.post(self._url, json=body) as answer:
            seen.status = answer.status
            seen.headers = {name.lower(): value for name, value in answer.headers.items()}
            data = await answer.read()
        if seen.status != 200:
            error = json.loads(data)["error"]
            assert_error(error)
            seen.state, seen.code = "told", error["code"]
        elif body["stream"]:
            _read_stream(data, seen)
        else:
            _take_whole(json.loads(data), seen)

    async def _async(self, body: dict[str, Any], seen: Seen) -> None:
        create: Any = self._sdk.chat.completions.with_raw_response.create
        response = await create(**body)
        seen.headers, answer = dict(response.headers), response.parse()
        if body["stream"]:
            async with answer:
                async for chunk in answer:
                    _take(chunk.model_dump(), seen)
            _ended(seen)
        else:
            _take_whole(answer.model_dump(), seen)

    async def _sync(self, body: dict[str, Any], seen: Seen) -> None:
        def talk() -> None:
            create: Any = self._blocking.chat.completions.with_raw_response.create
            response = create(**body)
            seen.headers, answer = dict(response.headers), response.parse()
            if not body["stream"]:
                _take_whole(answer.model_dump(), seen)
                return
            with answer:
                for chunk in answer:
                    _take(chunk.model_dump(), seen)
            _ended(seen)

        await asyncio.get_running_loop().run_in_executor(self._threads, talk)


def _read_stream(data: bytes, seen: Seen) -> None:
    """By the rules of the wire: an error or [DONE] at the end, never both, and never neither."""
    stream = read_sse(data)
    for chunk in stream.chunks:
        _take(chunk, seen)
    reasons = [reason for each in stream.finishes.values() for reason in each]
    if stream.error is not None:
        assert not stream.done, "[DONE] after an error"
        assert not reasons, f"an error after the finish {reasons}"
        assert_error(stream.error)
        seen.state, seen.code = "told", stream.error["code"]
        return
    assert data.endswith(DONE), "no [DONE]"
    assert len(reasons) == 1, f"finish reasons {reasons}"
    seen.state = "whole"


def _take(chunk: Mapping[str, Any], seen: Seen) -> None:
    seen.usage = chunk.get("usage") or seen.usage
    for choice in chunk["choices"]:
        if text := choice["delta"].get("content"):
            seen.text += text
            seen.chunks += 1
        seen.finish = choice.get("finish_reason") or seen.finish


def _ended(seen: Seen) -> None:
    """What an application makes of a stream that ended without an exception."""
    assert seen.finish is not None, "the stream ended without a finish, as if all were well"
    seen.state = "whole"


def _take_whole(answer: Mapping[str, Any], seen: Seen) -> None:
    (choice,) = answer["choices"]
    seen.text, seen.finish = choice["message"]["content"], choice["finish_reason"]
    seen.usage = answer.get("usage")
    seen.state = "whole"
