"""`nexus transcribe`: the words of a recording, shown as they are heard."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from nexus.types.v1 import model_pb2
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal

__all__ = ["Recording", "transcribe"]

PIECE = 64 * 1024
CONNECT_SECONDS = 5.0
STREAMED = frozenset({"text"})
"""Formats whose words can be shown before all of them are there."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was given on the command line. `url` empty = the mesh of this home."""

    file: Path
    model: str = ""
    language: str = ""
    form: str = "text"
    url: str = ""
    translate: bool = False


class _Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    error: dict[str, object] | None = None


async def transcribe(layout: Layout, asked: Recording, key: str) -> None:
    """Raises Failure with what the mesh says, or with what is wrong with the file."""
    if not asked.file.is_file():
        raise Failure(f"There is no file {asked.file}.", "Give a recording: nexus transcribe talk.mp3")
    model = asked.model or await _first(layout, translates=asked.translate)
    url = f"{asked.url or _url(layout)}/v1/audio/{'translations' if asked.translate else 'transcriptions'}"
    streams = asked.form in STREAMED and not asked.translate
    fields = {"model": model, "response_format": "json" if streams else asked.form}
    if asked.language and not asked.translate:
        fields["language"] = asked.language
    if streams:
        fields["stream"] = "true"
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            with _sending() as bar:
                form = _form(fields, asked.file, bar)
                async with session.post(url, data=form) as answer:
                    await _show(answer, streams=streams)
    except aiohttp.ClientError:
        raise Failure(f"{url} could not be asked.", "Is the mesh up? `nexus status` tells.") from None


async def _first(layout: Layout, *, translates: bool) -> str:
    """The first model that can do it."""
    wanted = model_pb2.OPERATION_TRANSLATION if translates else model_pb2.OPERATION_TRANSCRIPTION
    for instance in await listed(layout, "adapter"):
        for backend in instance.status.backends:
            for model in backend.models:
                if wanted in model.operations:
                    return model.id
    raise Failure("No model here hears recordings.", "Get one: nexus pull whisper:base")


def _url(layout: Layout) -> str:
    mesh = layout.read()
    if mesh is None or not mesh.http:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`, or give --url.")
    return mesh.http


class _Bar:
    """How much was sent, on a terminal."""

    def __init__(self, progress: Progress | None, size: int) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task("Sending", total=size)

    def advance(self, size: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, size)


def _sending() -> AbstractContextManager[Progress | None]:
    if not on_terminal():
        return nullcontext()
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    return Progress(*columns, console=console, transient=True)


def _form(fields: dict[str, str], file: Path, progress: Progress | None) -> aiohttp.FormData:
    """Fields first, so that nobody has to keep the file."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    bar = _Bar(progress, file.stat().st_size)
    form.add_field("file", _pieces(file, bar), filename=file.name, content_type="application/octet-stream")
    return form


async def _pieces(file: Path, bar: _Bar) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece
            bar.advance(len(piece))


async def _show(answer: aiohttp.ClientResponse, *, streams: bool) -> None:
    if answer.status != 200:
        raise _refused(await answer.read())
    if not streams:
        sys.stdout.write(await answer.text())
        sys.stdout.write("" if answer.content_type == "text/plain" else "\n")
        return
    async for line in answer.content:
        data = line.removeprefix(b"data: ").strip()
        if data == line.strip() or data == b"[DONE]":
            continue
        event = msgspec.json.decode(data, type=_Event)
        if event.error is not None:
            sys.stdout.write("\n")
            raise Failure(str(event.error.get("message", "It was cut off.")), "Ask again.")
        if event.type == "transcript.text.delta":
            sys.stdout.write(event.delta)
            sys.stdout.flush()
    sys.stdout.write("\n")


def _refused(body: bytes) -> Failure:
    try:
        message = str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        message = "The endpoint's answer is none of a mesh."
    return Failure(message, "`nexus models` lists what there is.")
