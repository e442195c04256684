"""One client of a ComfyUI: its prompts sent, heard of, and taken back. It touches no prompt but its own.

Each request is a client with an id of its own. Whoever connects with another's id takes its events away, and the events
of a prompt go to its own client alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import msgspec
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Http, Json, JsonObject, Patience, Progress, malformed
from nexus_inference_adapters.kinds.comfyui.frames import (
    Ended,
    Failed,
    Frame,
    QueueMoved,
    Working,
    read_binary,
    read_text,
)
from nexus_inference_adapters.kinds.comfyui.workflow import Graph, Workflow, as_json

__all__ = ["Client", "Made"]

MOST_FILE_BYTES = 128 * 1024 * 1024
TRIES = 20
TRY_SECONDS = 0.1
AGAIN_SECONDS = (0.1, 0.4, 1.0)
LOOK_SECONDS = 1.0
"""Between looks at a prompt where events cannot be relied on."""
FORGET_SECONDS = 120.0
BUSY_SECONDS = 30.0
"""For an answer: while it works on a processor, it comes late to its connections."""
MEMORY = re.compile(r"OutOfMemory|MemoryError")
LOST = "ComfyUI ended, or started anew, in the middle of this prompt. Retry the request."
HELLO = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}


@dataclass(frozen=True, slots=True)
class Made:
    """A file at the server."""

    filename: str
    subfolder: str
    folder: str

    @property
    def path(self) -> str:
        told = {"filename": self.filename, "subfolder": self.subfolder, "type": self.folder}
        return f"/view?{urlencode(told)}"


class Client:
    """An async context manager; one prompt at a time."""

    def __init__(self, http: Http, patience: Patience) -> None:
        self.id = str(uuid4())
        self._http = http
        self._patience = patience
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._again = False
        """Whether the socket is not its first: the end of the one before can have made the server deaf to it."""

    async def open(self) -> None:
        """Before the first prompt: events that nobody hears are gone."""
        self._socket = await self._http.socket(f"/ws?clientId={self.id}", self._patience)
        await self._socket.send_json(HELLO)

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def send(self, workflow: Workflow, graph: Graph, *, preview: str) -> str:
        """The id of the prompt, now in the queue. `preview`: how looks at it are made.

        Raises INVALID_REQUEST or UPSTREAM_ERROR where the server does not take it.
        """
        wanted = str(uuid4())
        body: JsonObject = {"prompt": as_json(graph), "client_id": self.id, "prompt_id": wanted}
        if preview:
            body["extra_data"] = {"preview_method": preview}
        seen = await self._http.look("POST", "/prompt", body, seconds=BUSY_SECONDS)
        wrong = seen.dig("node_errors")
        if seen.status != 200 or wrong:
            # With some outputs amiss it answers 200, and makes the others.
            raise _refusal(workflow, seen.status, wrong)
        prompt = seen.dig("prompt_id")
        if not isinstance(prompt, str):
            raise malformed("ComfyUI took a prompt without telling its id.")
        return prompt

    async def hear(self, prompt: str) -> AsyncGenerator[Frame | Progress, None]:
        """What happens to a prompt, to its end; while others are before it, how many. Raises BACKEND_LOST and
        UPSTREAM_ERROR."""
        begun, most = False, 0
        while True:
            frame = await self._next(prompt)
            if isinstance(frame, Ended):
                return
            if isinstance(frame, Failed):
                raise _failure(frame)
            if isinstance(frame, Working):
                begun = True
            if frame is not None and not isinstance(frame, QueueMoved):
                yield frame
            elif frame is not None and not begun and (ahead := await self._ahead(prompt)):
                most = max(most, ahead)
                yield Progress("queued", most - ahead, most, "ahead")

    async def made(self, prompt: str, node: str) -> Made:
        """The one picture of a node. Raises UPSTREAM_MALFORMED."""
        history = await self._history(prompt)
        found = _dig(history, "outputs", node, "images")
        if (
            _dig(history, "status", "status_str") != "success"
            or not isinstance(found, list)
            or len(found) != 1
        ):
            raise malformed(
                "ComfyUI says that it is done, and has not made the one picture that was asked for."
            )
        file: JsonObject = found[0] if isinstance(found[0], dict) else {}
        return Made(*(str(file.get(key, "")) for key in ("filename", "subfolder", "type")))

    async def fetch(self, made: Made) -> bytes:
        """Its bytes. Raises BACKEND_LOST where they end too soon."""
        async with self._http.get(made.path, self._patience) as answer:
            return await answer.read(MOST_FILE_BYTES)

    async def upload(self, data: bytes) -> str:
        """A PNG among its temporary files; the name by which nodes load it."""
        boundary, name = uuid4().hex, f"{uuid4().hex}.png"
        head = f"--{boundary}\r\nContent-Disposition: form-data; name="
        fields = (
            f'{head}"type"\r\n\r\ntemp\r\n{head}"image"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
        )

        async def body() -> AsyncGenerator[bytes, None]:
            yield fields.encode()
            yield data
            yield f"\r\n--{boundary}--\r\n".encode()

        kind = f"multipart/form-data; boundary={boundary}"
        answer = await self._http.upload("/upload/image", body(), kind, self._patience)
        try:
            raw = await answer.read()
        finally:
            answer.close()
        try:
            return f"{msgspec.json.decode(raw)['name']} [temp]"
        except (ValueError, KeyError, TypeError):
            raise malformed("ComfyUI took a file without telling its name.") from None

    async def take_back(self) -> None:
        """Whatever of ours waits or runs, and no more of it. Raises what looks raise."""
        for _ in range(TRIES):
            running, pending = await self._ours()
            if pending:
                await self._http.look("POST", "/queue", {"delete": pending})
            if running:
                # Older servers interrupt whatever runs: so they are asked only while it is ours.
                await self._http.look("POST", "/interrupt", {"prompt_id": running[0]})
                return
            if not pending:
                return
            await asyncio.sleep(TRY_SECONDS)

    async def forget(self, prompts: list[str]) -> None:
        """Takes what was asked out of the server's history, once it is there: its owner need not read it."""
        with suppress(MeshError, TimeoutError):
            async with asyncio.timeout(FORGET_SECONDS):
                while any(await self._ours()):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(1.0)
                await self._http.look("POST", "/history", {"delete": prompts})

    async def _next(self, prompt: str) -> Frame | None:
        assert self._socket is not None  # noqa: S101 - open() was called
        try:
            async with asyncio.timeout(LOOK_SECONDS if self._again else None):
                message = await self._patience.wait(self._socket.receive())
        except TimeoutError:
            return await self._seen(prompt)
        except (aiohttp.ClientError, OSError):
            return await self._connect_again(prompt)
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                return read_text(message.data, prompt)
            case aiohttp.WSMsgType.BINARY:
                return read_binary(message.data, prompt)
            case (
                aiohttp.WSMsgType.CLOSE
                | aiohttp.WSMsgType.CLOSED
                | aiohttp.WSMsgType.CLOSING
                | aiohttp.WSMsgType.ERROR
            ):
                return await self._connect_again(prompt)
            case _:
                return None

    async def _connect_again(self, prompt: str) -> Frame | None:
        """With the same id events go on. Raises BACKEND_LOST where the prompt is not known there any more."""
        for pause in AGAIN_SECONDS:
            await self._patience.wait(asyncio.sleep(pause))
            try:
                await self.open()
            except MeshError:
                continue
            self._again = True
            return await self._seen(prompt)
        raise MeshError(Reason.BACKEND_LOST, LOST)

    async def _seen(self, prompt: str) -> Frame:
        """What a look shows of it. Raises BACKEND_LOST where it is not known there any more."""
        for _ in range(2):  # between the two looks it can go from the one to the other
            if await self._history_now(prompt):
                return Ended()
            if prompt in (item for part in await self._ours() for item in part):
                return QueueMoved()
        raise MeshError(Reason.BACKEND_LOST, LOST)

    async def _ahead(self, prompt: str) -> int:
        """How many prompts are before it."""
        try:
            running, pending = await self._queue()
        except MeshError:
            return 0  # it is busy, and this is but news
        waiting = sorted(pending, key=lambda item: item[0])
        place = next((at for at, item in enumerate(waiting) if item[1] == prompt), None)
        return 0 if place is None else len(running) + place

    async def _ours(self) -> tuple[list[str], list[str]]:
        """Ids of the prompts that run and that wait; older servers give out ids of their own."""
        running, pending = ([item[1] for item in part if item[2] == self.id] for part in await self._queue())
        return running, pending

    async def _queue(self) -> list[list[tuple[float, str, str]]]:
        """Number, id and client of those that run, and of those that wait."""
        seen = await self._http.look("GET", "/queue", seconds=BUSY_SECONDS)
        if seen.status != 200:
            raise malformed("ComfyUI does not tell its queue.")
        return [_items(seen.dig(part)) for part in ("queue_running", "queue_pending")]

    async def _history(self, prompt: str) -> Json:
        for _ in range(TRIES):
            if found := await self._history_now(prompt):
                return found
            await self._patience.wait(asyncio.sleep(TRY_SECONDS))
        raise malformed("ComfyUI says that it is done, and tells nothing of what it made.")

    async def _history_now(self, prompt: str) -> Json:
        return (await self._http.look("GET", f"/history/{prompt}", seconds=BUSY_SECONDS)).dig(prompt)


def _items(told: Json) -> list[tuple[float, str, str]]:
    return [
        (item[0], str(item[1]), str(_dig(item[3], "client_id")))
        for item in (told if isinstance(told, list) else ())
        if isinstance(item, list) and len(item) > 3 and isinstance(item[0], int | float)
    ]


def _dig(value: Json, *keys: str) -> Json:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _failure(frame: Failed) -> MeshError:
    """Its own words stay there: they name files and what was asked."""
    if frame.interrupted:
        return MeshError(
            Reason.BACKEND_LOST, "Somebody interrupted this prompt at its ComfyUI. Retry the request."
        )
    at = f" in its node {frame.node[:64]}" if frame.node.isidentifier() else ""
    if MEMORY.search(frame.kind):
        return MeshError(
            Reason.UPSTREAM_ERROR,
            f"ComfyUI ran out of memory{at}. Ask for a smaller size, or use a smaller model.",
        )
    return MeshError(Reason.UPSTREAM_ERROR, f"ComfyUI failed{at}. Its own log says why.")


def _refusal(workflow: Workflow, status: int, wrong: Json) -> MeshError:
    """By the first input that is amiss: the parameter that was put there, or else the workflow itself."""
    for node, about in wrong.items() if isinstance(wrong, dict) else ():
        errors = _dig(about, "errors")
        for error in errors if isinstance(errors, list) else ():
            return _of_input(workflow, str(node), error)
    return MeshError(Reason.UPSTREAM_ERROR, f"ComfyUI refused workflow {workflow.name} with status {status}.")


def _of_input(workflow: Workflow, node: str, error: Json) -> MeshError:
    name, kind = str(_dig(error, "extra_info", "input_name")), str(_dig(error, "type"))[:64]
    places = workflow.parameters.items()
    parameter = next((each for each, place in places if place == (node, name)), None)
    if parameter is None:
        where = f"input {name[:64]!r} of node {node[:64]!r} of workflow {workflow.name}"
        return MeshError(Reason.UPSTREAM_ERROR, f"ComfyUI refuses {where} ({kind}).")
    if parameter == workflow.models:
        return MeshError(Reason.MODEL_NOT_FOUND, "ComfyUI does not have this model any more.")
    return MeshError(
        Reason.INVALID_REQUEST,
        f"ComfyUI does not take this '{parameter}' ({kind}).",
        metadata={"param": parameter, "code": "invalid_value"},
    )
