"""One session alive: its machine between a client and the mesh. Each call is a task, so that it can be ended."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from nexus_mesh.core import MeshError, Reason, logger

from nexus_gateway.detecting import Detector
from nexus_gateway.dialects.chain import Chain, Link
from nexus_gateway.dialects.realtime.answer import Usage
from nexus_gateway.dialects.realtime.machine import (
    Chat,
    Detect,
    Forget,
    Machine,
    Send,
    Speak,
    Stop,
    Transcribe,
)
from nexus_gateway.dialects.realtime.wire import event_id_of
from nexus_gateway.intake import Hold

__all__ = ["LONGEST_SECONDS", "Session", "Wire"]

LONGEST_SECONDS = 3600.0
IDLE_SECONDS = 900.0
"""Without any event of the client, and none for it."""
MOST_UNSENT = 1 << 20
"""Characters that wait for a client that is slow to read, before nothing more is made for it."""
MOST_UNDETECTED = 4 << 20
"""Bytes of sound that wait to be looked at, before no more is taken."""
GOING_AWAY = 1001

log = logger("gateway.realtime")
_encode = msgspec.json.Encoder().encode


class Wire(Protocol):
    """A client."""

    async def receive(self) -> str | None:
        """Its next event; None once it has left."""
        ...

    async def send(self, text: str) -> None: ...

    async def close(self, code: int, reason: str = "") -> None: ...


class Session:
    """`run()` ends when the client leaves, or nothing happens for long."""

    def __init__(self, wire: Wire, machine: Machine, chain: Chain, detector: Detector, hold: Hold) -> None:
        """`hold`: of the room that there is for what clients send."""
        self._wire = wire
        self._hold = hold
        self._machine = machine
        self._chain = chain
        self._listening = detector.listen()
        self._tasks: dict[asyncio.Task[None], str] = {}
        """Of calls, by the response that they are for; empty = for none."""
        self._unsent: asyncio.Queue[str] = asyncio.Queue()
        self._unsent_size = 0
        self._undetected: asyncio.Queue[Detect | Forget] = asyncio.Queue()
        self._undetected_size = 0
        self._room = asyncio.Event()
        self._room.set()
        self._happened = time.monotonic()

    async def run(self) -> None:
        beside = [
            asyncio.create_task(self._write(), name="realtime events"),
            asyncio.create_task(self._detect(), name="realtime detection"),
        ]
        try:
            self._machine.begin()
            self._carry_out()
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._read(beside[0])
        except TimeoutError:
            await self._wire.close(GOING_AWAY, "The session was open for as long as one may be.")
        finally:
            tasks = [*beside, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.shield(self._forget())

    async def _read(self, writing: asyncio.Task[None]) -> None:
        while not writing.done():
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    text = await self._wire.receive()
            except TimeoutError:
                if time.monotonic() - self._happened < IDLE_SECONDS or self._machine.answering:
                    continue
                await self._wire.close(GOING_AWAY, "Nothing has happened in the session for long.")
                return
            if text is None:
                return
            try:
                await self._hold.reach(self._machine.size + len(text))
            except MeshError as error:
                self._machine.tell(error, event_id_of(text))
            else:
                self._machine.receive(text)
            self._carry_out()
            await self._room.wait()

    async def _write(self) -> None:
        while True:
            text = await self._unsent.get()
            await self._wire.send(text)
            self._unsent_size -= len(text)
            self._make_room()

    def _make_room(self) -> None:
        full = self._unsent_size > MOST_UNSENT or self._undetected_size > MOST_UNDETECTED
        (self._room.clear if full else self._room.set)()

    def _carry_out(self) -> None:
        """What came of what was told to the machine."""
        for out in self._machine.take():
            match out:
                case Send(event):
                    self._send(_encode(event).decode())
                case Detect(data):
                    self._undetected_size += len(data)
                    self._undetected.put_nowait(out)
                case Forget():
                    self._undetected.put_nowait(out)
                case Stop(answer_id):
                    for task in [task for task, whose in self._tasks.items() if whose == answer_id]:
                        task.cancel()
                case _:
                    self._start(out)
        self._make_room()

    def _send(self, text: str) -> None:
        self._happened = time.monotonic()
        self._unsent_size += len(text)
        self._unsent.put_nowait(text)

    def _start(self, out: Transcribe | Chat | Speak) -> None:
        whose = "" if isinstance(out, Transcribe) else out.answer_id
        task = asyncio.create_task(self._guarded(out), name=f"realtime {type(out).__name__.lower()}")
        self._tasks[task] = whose
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _guarded(self, out: Transcribe | Chat | Speak) -> None:
        """A call, and the end of it told whatever that is."""
        try:
            match out:
                case Transcribe():
                    await self._transcribe(out)
                case Chat():
                    await self._chat(out)
                case Speak():
                    await self._speak(out)
        except MeshError as error:
            self._failed(out, error)
        except Exception:
            log.exception("a call of a realtime session failed")
            self._failed(out, MeshError(Reason.INTERNAL, "NEXUS failed on this. Report it with the time."))

    def _failed(self, out: Transcribe | Chat | Speak, error: MeshError) -> None:
        if isinstance(out, Transcribe):
            self._machine.unheard(out.item_id, out.index, error)
        else:
            self._machine.failed(out.answer_id, error)
        self._carry_out()

    async def _transcribe(self, out: Transcribe) -> None:
        heard = await self._chain.transcribe(
            out.model, out.file, "audio/wav", language=out.language, prompt=out.hint
        )
        self._machine.heard(out.item_id, out.index, heard)
        self._carry_out()

    async def _chat(self, out: Chat) -> None:
        usage, finished = None, False
        async with self._chain.chat(out.body) as messages:
            async for message in messages:
                if message.HasField("served") and message.served.backend:
                    self._machine.served(out.answer_id, Link.of("chat", message.served))
                if message.HasField("chunks"):
                    for text in message.chunks.json:
                        for choice in _choices(text):
                            self._machine.wrote(out.answer_id, choice)
                    self._carry_out()
                    await self._room.wait()
                if message.HasField("finish"):
                    finished = True
                    used = message.finish.usage
                    if message.finish.HasField("usage"):
                        usage = Usage(used.prompt_tokens, used.completion_tokens, used.cached_tokens)
        if not finished:
            raise MeshError(Reason.UPSTREAM_MALFORMED, "The backend's stream ended without its end mark.")
        self._machine.written(out.answer_id, usage)
        self._carry_out()

    async def _speak(self, out: Speak) -> None:
        async with aclosing(self._chain.speak(out.body)) as pieces:
            async for said in pieces:
                self._machine.served(out.answer_id, said.link)
                self._machine.sounded(out.answer_id, said.data)
                self._carry_out()
                await self._room.wait()
        self._machine.spoken(out.answer_id)
        self._carry_out()

    async def _detect(self) -> None:
        """One piece after the other, for each is judged by what came before."""
        while True:
            out = await self._undetected.get()
            try:
                if isinstance(out, Forget):
                    await self._listening.forget()
                    continue
                found = await self._listening.detect(out.form.code, out.data)
                self._machine.detected(found)
            except MeshError as error:
                self._machine.undetected(error)
            finally:
                if isinstance(out, Detect):
                    self._undetected_size -= len(out.data)
            self._carry_out()

    async def _forget(self) -> None:
        try:
            await self._listening.forget()
        except MeshError:
            return  # it is gone, and what it knew with it


def _choices(text: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(text, type=_Chunk).choices
    except (ValueError, RecursionError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED, "The backend sent a chunk that breaks the OpenAI format."
        ) from None


class _Chunk(msgspec.Struct):
    choices: list[dict[str, Any]]
