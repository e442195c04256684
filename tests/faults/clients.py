"""The three ways requests are made: the official client, asynchronous and not, and a strict reader of bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import aiohttp
import openai
from faults.history import Operation
from support.e2e_mesh import DONE, HELLO, assert_error, read_sse

__all__ = ["FIRST_TOKEN", "GRACE", "STALL", "TOTAL", "Clients"]

FIRST_TOKEN, STALL, TOTAL = 3.0, 2.5, 6.0
"""The limits of the mesh under test."""
GRACE = 6.0
"""Beyond its limit a silent request counts as hung. Generous: the machine may be busy."""
SILENCE = max(FIRST_TOKEN, STALL) + GRACE
BOUND = TOTAL + GRACE
THREADS = 32


class Clients:
    """`async with Clients(base_url) as clients: await clients.ask(operation)`; the operation tells how it went."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self.kinds: dict[str, Callable[[Operation], Awaitable[None]]] = {
            "raw": self._raw,
            "sdk": self._sdk,
            "sync": self._sync,
        }

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # or requests would wait where nobody measures it
            timeout=aiohttp.ClientTimeout(total=None, sock_read=SILENCE),
        )
        options: dict[str, Any] = {
            "base_url": self._base_url, "api_key": "none", "max_retries": 0, "timeout": SILENCE,
        }  # fmt: skip
        self._async = openai.AsyncOpenAI(**options)
        self._blocking = openai.OpenAI(**options)
        self._threads = ThreadPoolExecutor(THREADS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._async.close()
        self._blocking.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, operation: Operation) -> None:
        try:
            async with asyncio.timeout(BOUND):
                await self.kinds[operation.client](operation)
        except (TimeoutError, openai.APITimeoutError):
            operation.end("hung")
        except openai.APIStatusError as error:
            operation.retry_after = error.response.headers.get("retry-after")
            operation.end(f"{error.status_code} {error.code}")
        except (aiohttp.ClientError, openai.APIConnectionError) as error:
            operation.end(f"cut {error!r}")
        except openai.APIError as error:
            operation.end(f"broken {error.code}")
        except (ValueError, LookupError, AssertionError) as error:
            operation.end(f"lied: {error!r}")

    async def _raw(self, operation: Operation) -> None:
        url = f"{self._base_url}/chat/completions"
        async with self._session.post(url, json=_body(operation)) as answer:
            body = await answer.read()
        if answer.status != 200:
            error = json.loads(body)["error"]
            assert_error(error)
            operation.retry_after = answer.headers.get("retry-after")
            operation.end(f"{answer.status} {error['code']}")
        elif operation.stream:
            self._read_stream(operation, body)
        else:
            choice = (whole := json.loads(body))["choices"][0]
            operation.text, operation.finish = choice["message"]["content"], choice["finish_reason"]
            _check_usage(whole.get("usage"))
            operation.end("ok")

    def _read_stream(self, operation: Operation, body: bytes) -> None:
        stream = read_sse(body)
        operation.text = stream.text()
        finishes = [reason for reasons in stream.finishes.values() for reason in reasons]
        if stream.error is not None:
            assert not stream.done, "[DONE] after an error"
            operation.end(f"broken {stream.error['code']}")
            return
        assert body.endswith(DONE), "no [DONE]"
        assert len(finishes) == 1, f"finish reasons {finishes}"
        operation.finish = finishes[0]
        for chunk in stream.chunks:
            _check_usage(chunk.get("usage"))
        operation.end("ok")

    async def _sdk(self, operation: Operation) -> None:
        answer: Any = await self._async.chat.completions.create(**_body(operation))
        if operation.stream:
            async with answer:
                async for chunk in answer:
                    _take(operation, chunk)
        else:
            _take_whole(operation, answer)
        operation.end("ok")

    async def _sync(self, operation: Operation) -> None:
        def talk() -> None:
            answer: Any = self._blocking.chat.completions.create(**_body(operation))
            if operation.stream:
                with answer:
                    for chunk in answer:
                        _take(operation, chunk)
            else:
                _take_whole(operation, answer)

        await asyncio.get_running_loop().run_in_executor(self._threads, talk)
        operation.end("ok")


def _body(operation: Operation) -> dict[str, Any]:
    body = {"model": operation.model, "messages": HELLO, "user": operation.mark, "stream": operation.stream}
    return body | ({"stream_options": {"include_usage": True}} if operation.stream else {})


def _take(operation: Operation, chunk: Any) -> None:
    """What an application makes of a chunk of the official client."""
    _check_usage(chunk.usage and chunk.usage.model_dump())
    for choice in chunk.choices:
        operation.text += choice.delta.content or ""
        operation.finish = choice.finish_reason or operation.finish


def _take_whole(operation: Operation, answer: Any) -> None:
    _check_usage(answer.usage and answer.usage.model_dump())
    operation.text, operation.finish = answer.choices[0].message.content, answer.choices[0].finish_reason


def _check_usage(usage: dict[str, Any] | None) -> None:
    if usage is not None:
        prompt, completion, total = (usage[f"{name}_tokens"] for name in ("prompt", "completion", "total"))
        assert min(prompt, completion) >= 0, f"a usage below zero: {usage}"
        assert total == prompt + completion, f"a usage that does not add up: {usage}"
