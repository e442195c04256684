"""`nexus ocr`: the text of a picture or PDF, page by page as it is read."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
from nexus.types.v1 import model_pb2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal

__all__ = ["Paper", "read"]

CONNECT_SECONDS = 5.0
LONGEST_EVENT = 64 * 1024 * 1024
PAGES = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")


@dataclass(frozen=True, slots=True)
class Paper:
    """What was given on the command line. `pages` count from 1; `url` empty = the mesh of this home."""

    file: Path
    model: str = ""
    pages: str = ""
    zone: str = ""
    url: str = ""
    own_text: bool = True


class _Page(msgspec.Struct):
    markdown: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    done: int = 0
    total: int = 0
    page: msgspec.Raw = field(default_factory=msgspec.Raw)
    model: str = ""
    usage_info: dict[str, object] | None = None
    error: dict[str, object] | None = None


async def read(layout: Layout, asked: Paper, key: str, *, as_json: bool) -> None:
    """Raises Failure with what the mesh says, or with what is wrong with the file."""
    if not asked.file.is_file():
        raise Failure(f"There is no file {asked.file}.", "Give a picture or a PDF: nexus ocr scan.pdf")
    fields = {"model": asked.model or await _first(layout), "stream": "true"}
    if asked.pages:
        fields["pages"] = _from_zero(asked.pages)
    if not asked.own_text:
        fields["text_layer"] = "ignore"
    headers = {"authorization": f"Bearer {key}"} if key else {}
    if asked.zone:
        headers["x-nexus-zone"] = asked.zone
    url = f"{asked.url or _url(layout)}/v1/ocr"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(
            headers=headers, timeout=timeout, read_bufsize=LONGEST_EVENT
        ) as session:
            form = aiohttp.FormData()
            for name, value in fields.items():
                form.add_field(name, value)
            with asked.file.open("rb") as opened:
                form.add_field("file", opened, filename=asked.file.name)
                async with session.post(url, data=form) as answer:
                    await _show(answer, as_json=as_json)
    except aiohttp.ClientError:
        raise Failure(f"{url} could not be asked.", "Is the mesh up? `nexus status` tells.") from None


def _from_zero(pages: str) -> str:
    """As the endpoint counts: people begin with 1. Raises Failure."""
    plain = pages.replace(" ", "")
    if not PAGES.fullmatch(plain) or "0" in re.split("[-,]", plain):
        raise Failure(f"{pages!r} are no pages.", "They count from 1: --pages 1-3,5")
    return re.sub(r"\d+", lambda match: str(int(match[0]) - 1), plain)


async def _first(layout: Layout) -> str:
    """The first model that reads: one that does nothing else before one that sees."""
    found: list[tuple[int, str]] = []
    for instance in await listed(layout, "adapter"):
        for backend in instance.status.backends:
            found += [
                (len(model.operations), model.id)
                for model in backend.models
                if model_pb2.OPERATION_OCR in model.operations
            ]
    if not found:
        raise Failure(
            "No model here reads documents.",
            "`make ocr` in a checkout, elsewhere `pip install rapidocr onnxruntime` beside it; then start NEXUS again.",
        )
    return min(found)[1]


def _url(layout: Layout) -> str:
    mesh = layout.read()
    if mesh is None or not mesh.http:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`, or give --url.")
    return mesh.http


async def _show(answer: aiohttp.ClientResponse, *, as_json: bool) -> None:
    if answer.status != 200:
        raise _refused(await answer.read())
    pages: list[msgspec.Raw] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("pages")
    with Progress(*columns, console=console, transient=True, disable=not on_terminal()) as progress:
        task = progress.add_task("Reading", total=None)
        async for event in _events(answer):
            if event.error is not None:
                raise Failure(str(event.error.get("message", "It was cut off.")), "Ask again.")
            if event.type == "ocr.page":
                progress.update(task, completed=event.done, total=event.total)
                pages.append(event.page)
                if not as_json:
                    sys.stdout.write(f"{chr(10) if event.done > 1 else ''}{_text(event.page)}\n")
                    sys.stdout.flush()
            elif event.type == "ocr.done":
                if as_json:
                    whole = {"pages": pages, "model": event.model, "usage_info": event.usage_info}
                    sys.stdout.write(msgspec.json.encode(whole).decode() + "\n")
                return
    raise Failure("The answer was cut off.", "Ask again.")


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[_Event]:
    async for line in answer.content:
        data = line.removeprefix(b"data: ").strip()
        if data not in (line.strip(), b"[DONE]"):
            yield msgspec.json.decode(data, type=_Event)


def _text(page: msgspec.Raw) -> str:
    return msgspec.json.decode(page, type=_Page).markdown


def _refused(body: bytes) -> Failure:
    try:
        message = str(msgspec.json.decode(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        message = "The endpoint's answer is none of a mesh."
    return Failure(message, "`nexus models` lists what there is.")
