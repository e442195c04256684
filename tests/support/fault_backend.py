"""A model server of no known make: chats in OpenAI's API at /v1, and every way such servers are known to fail.

async with FaultBackend("m") as backend:
    backend.arm(cut(after=5))           # every chat from now on
    backend.arm(refuse(500), times=1)   # the next one only
    await backend.down(); await backend.up()

It lists models and chats, and has nothing else: what engines are told apart by is answered with 404. What it says
depends on the prompt alone (`answer_to`), so two of them with one `voice` say the same. A last message of the
assistant's is a part of the prompt like any other: it is answered, not gone on with.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

__all__ = [
    "FILTERED",
    "TOKENS",
    "Call",
    "Fault",
    "FaultBackend",
    "Wire",
    "answer_to",
    "claims",
    "cut",
    "filters",
    "healthy",
    "in_band",
    "no_done",
    "only_questions",
    "prompt_tokens",
    "raw",
    "refuse",
    "reset",
    "silent",
    "slow",
]

TOKENS = 12
"""Of every answer, unless the request allows less."""
INTERVAL = 0.02
"""Seconds between two tokens of a stream."""
LINGER = 0.3
"""Seconds between the last token and the fault: a reset throws away what has not been read by then."""
CUT_AFTER = 5
MAX_BODY = 1 << 20
NO_LINGER = struct.pack("ii", 1, 0)
FILTERED = {"message": "The response was filtered.", "type": "invalid_request_error", "param": "prompt",
            "code": "content_filter"}  # fmt: skip
DIED = {
    "message": "CUDA error: an illegal memory access",
    "type": "server_error",
    "param": None,
    "code": None,
}

Messages = Sequence[Mapping[str, Any]]
Usage = dict[str, int]


def answer_to(messages: Messages, voice: str = "") -> list[str]:
    """The tokens a healthy backend answers with."""
    seed = hashlib.sha256((voice + json.dumps(list(messages))).encode()).hexdigest()
    return [f"{seed[2 * n : 2 * n + 4]}.{n} " for n in range(TOKENS)]


def prompt_tokens(messages: Messages) -> int:
    """As the backend counts them: words."""
    return sum(len(str(message.get("content")).split()) for message in messages)


@dataclass(frozen=True)
class Call:
    """One chat that was asked for."""

    body: dict[str, Any]
    voice: str = ""

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def messages(self) -> Messages:
        return self.body["messages"]

    @property
    def is_prefilled(self) -> bool:
        return self.messages[-1]["role"] == "assistant"

    @property
    def wants_usage(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def tokens(self) -> list[str]:
        return answer_to(self.messages, self.voice)[: self.body.get("max_tokens") or TOKENS]

    @property
    def finish(self) -> str:
        return "stop" if len(self.tokens) == TOKENS else "length"

    @property
    def usage(self) -> Usage:
        return self.usage_of(len(self.tokens))

    def usage_of(self, completion: int) -> Usage:
        prompt = prompt_tokens(self.messages)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def whole(self, finish: str | None = None, usage: Usage | None = None) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(self.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": finish or self.finish}
        return self._envelope("chat.completion", choices=[choice], usage=usage or self.usage)

    def chunk(
        self, delta: Mapping[str, Any], finish: str | None = None, usage: Usage | None = None
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        more = {} if usage is None else {"usage": usage}
        return self._envelope("chat.completion.chunk", choices=[choice], **more)

    def usage_chunk(self, usage: Usage | None = None) -> dict[str, Any]:
        return self._envelope("chat.completion.chunk", choices=[], usage=usage or self.usage)

    def _envelope(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"id": "chatcmpl-exam", "object": kind, "created": 1, "model": self.model, **fields}


class Wire:
    """The connection one request came on, and the answer that is written to it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._chunked = False
        self.reusable = False
        """Whether the answer ended as HTTP has it, so that the next request may follow."""

    async def answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer; `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self._head(status, {"Content-Length": str(len(data)), **(headers or {})})
        await self._write(data)
        self.reusable = True

    async def head(self, content_type: str = "text/event-stream") -> None:
        self._chunked = True
        await self._head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})

    async def send(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def event(self, data: Any) -> None:
        await self.send(b"data: %b\n\n" % (data if isinstance(data, bytes) else json.dumps(data).encode()))

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")
        self.reusable = True

    async def half(self, body: Any) -> None:
        """The head of a whole answer, and half of the body it promises."""
        data = json.dumps(body).encode()
        await self._head(200, {"Content-Length": str(len(data))})
        await self._write(data[: len(data) // 2])

    def reset(self) -> None:
        """An RST in place of a FIN."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._writer.transport.abort()

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [
            f"{name}: {value}" for name, value in {"Content-Type": "application/json", **headers}.items()
        ]
        await self._write("\r\n".join([*lines, "", ""]).encode())

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Fault = Callable[[Call, Wire], Awaitable[None]]
"""How one chat is answered. What returns without a whole answer has its connection closed."""


async def begin(call: Call, wire: Wire, after: int, *, counting: bool = False) -> None:
    """The head and the first tokens of a stream, each with the usage so far where the server counts all along."""
    await wire.head()
    await wire.event(call.chunk({"role": "assistant", "content": ""}))
    for number, token in enumerate(call.tokens[:after], 1):
        await asyncio.sleep(INTERVAL)
        await wire.event(call.chunk({"content": token}, usage=call.usage_of(number) if counting else None))


async def finish(call: Call, wire: Wire, usage: Usage | None = None) -> None:
    await wire.event(call.chunk({}, call.finish))
    if call.wants_usage:
        await wire.event(call.usage_chunk(usage))
    await wire.event(b"[DONE]")
    await wire.end()


async def healthy(call: Call, wire: Wire) -> None:
    """A whole answer, at once or as a stream."""
    if not call.stream:
        await wire.answer(200, call.whole())
        return
    await begin(call, wire, TOKENS)
    await finish(call, wire)


def refuse(status: int, error: Any = None, headers: Mapping[str, str] | None = None) -> Fault:
    """An error as the whole answer. `error` is the value of "error", or bytes as they are."""
    told = {**DIED, "message": f"told to answer {status}"} if error is None else error
    body = told if isinstance(told, bytes) else {"error": told}
    return lambda _, wire: wire.answer(status, body, headers)


async def reset(_: Call, wire: Wire) -> None:
    """The connection is reset before any answer."""
    wire.reset()


async def silent(_: Call, __: Wire) -> None:
    """No answer, and the connection stays open."""
    await asyncio.Event().wait()


def slow(seconds: float, *, head: bool) -> Fault:
    """A good answer, late. `head`: a stream's head comes at once, and nothing after it."""

    async def fault(call: Call, wire: Wire) -> None:
        if not (head and call.stream):
            await asyncio.sleep(seconds)
            await healthy(call, wire)
            return
        await wire.head()
        await asyncio.sleep(seconds)
        for token in call.tokens:
            await wire.event(call.chunk({"content": token}))
        await finish(call, wire)

    return fault


def cut(how: str, after: int = CUT_AFTER, *, counting: bool = False) -> Fault:
    """An answer that breaks off: by a `reset`, by a `clean` end of the HTTP body, or by silence (`stall`)."""

    async def fault(call: Call, wire: Wire) -> None:
        if call.stream:
            await begin(call, wire, after, counting=counting)
        elif how == "clean":
            await wire.head("application/json")
            await wire.send(json.dumps(call.whole()).encode()[:-40])
        else:
            await wire.half(call.whole())
        await asyncio.sleep(LINGER)
        if how == "reset":
            wire.reset()
        elif how == "clean":
            await wire.end()
        else:
            await silent(call, wire)

    return fault


def in_band(error: Any = None, after: int = CUT_AFTER) -> Fault:
    """An error inside a stream, with [DONE] after it as if all were well; or as the body of a 200."""
    told = {"error": DIED if error is None else error}

    async def fault(call: Call, wire: Wire) -> None:
        if not call.stream:
            await wire.answer(200, told)
            return
        await begin(call, wire, after)
        await asyncio.sleep(LINGER if after else 0)
        await wire.event(told)
        await wire.event(b"[DONE]")
        await wire.end()

    return fault


def raw(event: bytes, after: int = CUT_AFTER) -> Fault:
    """An event that is no JSON, in a stream that goes on well; or as the body of a 200."""

    async def fault(call: Call, wire: Wire) -> None:
        if not call.stream:
            await wire.answer(200, event)
            return
        await begin(call, wire, after)
        await asyncio.sleep(LINGER if after else 0)
        await wire.event(event)
        for token in call.tokens[after:]:
            await wire.event(call.chunk({"content": token}))
        await finish(call, wire)

    return fault


async def no_done(call: Call, wire: Wire) -> None:
    """A stream that has all but its [DONE]; a whole answer whose end is the connection's."""
    if call.stream:
        await begin(call, wire, TOKENS)
        await wire.event(call.chunk({}, call.finish))
        if call.wants_usage:
            await wire.event(call.usage_chunk())
        await wire.end()
    else:
        await wire.head("application/json")
        await wire.send(json.dumps(call.whole()).encode())
        await wire.end()


async def filters(call: Call, wire: Wire) -> None:
    """Stops by its content filter, after some of the answer."""
    if not call.stream:
        await wire.answer(200, call.whole("content_filter"))
        return
    await begin(call, wire, CUT_AFTER)
    await wire.event(call.chunk({}, "content_filter"))
    await wire.event(b"[DONE]")
    await wire.end()


def claims(usage: Usage) -> Fault:
    """A whole answer with this usage."""

    async def fault(call: Call, wire: Wire) -> None:
        if not call.stream:
            await wire.answer(200, call.whole(usage=usage))
            return
        await begin(call, wire, TOKENS)
        await finish(call, wire, usage)

    return fault


def only_questions(then: Fault = healthy) -> Fault:
    """Refuses to go on with a message of the assistant's, as templates do that have no way to."""
    error = {"message": "The conversation must end with a user message.", "type": "invalid_request_error",
             "param": "messages", "code": None}  # fmt: skip

    async def fault(call: Call, wire: Wire) -> None:
        await (refuse(400, error) if call.is_prefilled else then)(call, wire)

    return fault


@dataclass(eq=False)
class FaultBackend:
    """`models` are those it lists. `manner`: how it answers what no fault was armed for. `calls`: by model."""

    models: Sequence[str]
    manner: Fault = healthy
    voice: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _fault: Fault | None = None
    _left: int | None = None
    _server: asyncio.Server | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """That are open now."""
        return len(self._serving)

    def arm(self, fault: Fault, times: int | None = None) -> None:
        """The next so many chats meet the fault, or all of them."""
        self._fault, self._left = fault, times

    def disarm(self) -> None:
        self._fault = None

    async def up(self) -> None:
        """Listens, at the port it had before if it had one."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, "127.0.0.1", self.port, reuse_address=True, backlog=1024
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Refuses connections, and resets those that are open."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        serving = [*self._serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        wire, ahead = Wire(writer), b""
        try:
            while (ahead := await self._answer(ahead, reader, wire := Wire(writer))) is not None:
                pass
        except asyncio.CancelledError:
            wire.reset()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, ahead: bytes, reader: asyncio.StreamReader, wire: Wire) -> bytes | None:
        """Answers one request; what of the next has been read, None when there will be none."""
        head = (ahead + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.split("\r\n")
        fields = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
        body = await reader.readexactly(min(int(fields.get("content-length", 0)), MAX_BODY))
        method, path, _ = line.split(" ")
        if (method, path) == ("POST", "/v1/chat/completions"):
            return await self._chat(Call(json.loads(body), self.voice), reader, wire)
        if (method, path) == ("GET", "/v1/models"):
            rows = [{"id": name, "object": "model", "created": 1, "owned_by": "exam"} for name in self.models]
            await wire.answer(200, {"object": "list", "data": rows})
        else:
            await wire.answer(404, {"error": {"message": "Not found.", "type": "invalid_request_error"}})
        return b""

    async def _chat(self, call: Call, reader: asyncio.StreamReader, wire: Wire) -> bytes | None:
        """Answers for as long as the client is there: one that hung up leaves no answer running."""
        self.calls[call.model] += 1
        answering = asyncio.ensure_future(self._next()(call, wire))
        ahead = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, ahead}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, ahead):
                task.cancel()
            ended, came = await asyncio.gather(answering, ahead, return_exceptions=True)
        if isinstance(ended, BaseException) or not wire.reusable:
            return None
        if isinstance(came, asyncio.CancelledError):
            return b""
        return came if isinstance(came, bytes) and came else None

    def _next(self) -> Fault:
        if self._fault is None or self._left == 0:
            return self.manner
        if self._left is not None:
            self._left -= 1
        return self._fault
