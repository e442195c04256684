"""`nexus video`: a prompt, made a video in a file, with how far it is meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import aiohttp
import msgspec

from nexus_cli.chat import url_of
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal, print_json
from nexus_cli.say import STANDARD, opened

__all__ = ["Filming", "video"]

CONNECT_SECONDS = 5.0
POLL_SECONDS = 1.0
OVER = ("completed", "failed")


@dataclass(frozen=True, slots=True)
class Filming:
    """What to show, and into what. `size` and `seconds` empty = the model's own; `seed` None = by chance."""

    prompt: str
    output: str
    model: str
    size: str = ""
    seconds: str = ""
    seed: int | None = None
    url: str = ""
    zone: str = ""


class _Error(msgspec.Struct):
    message: str


class _Video(msgspec.Struct):
    id: str
    status: str
    progress: int
    size: str
    seconds: str
    error: _Error | None = None


class _Failed(msgspec.Struct):
    error: _Error


async def video(layout: Layout, filming: Filming, key: str, *, as_json: bool) -> None:
    """Writes the video. Raises Failure; a file that is there is whole. Whoever interrupts it has it stopped."""
    if not filming.prompt.strip():
        raise Failure("There is nothing to show.", 'Say what: nexus video "a red circle" -o out.mp4')
    asked: dict[str, object] = {"model": filming.model, "prompt": filming.prompt}
    asked |= {name: value for name in ("size", "seconds") if (value := getattr(filming, name))}
    if filming.seed is not None:
        asked["seed"] = filming.seed
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if filming.zone:
        headers["X-Nexus-Zone"] = filming.zone
    base = (filming.url or url_of(layout)).rstrip("/").removesuffix("/v1")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(base, headers=headers, timeout=timeout) as session:
            with opened(filming.output, "video") as file, _shown() as show:
                made = await _made(session, asked, show)
                size = 0
                async with session.get(f"/v1/videos/{made.id}/content") as content:
                    if content.status != 200:
                        raise _refused(await content.read())
                    async for piece in content.content.iter_any():
                        file.write(piece)
                        size += len(piece)
    except aiohttp.ClientError:
        raise Failure(f"{base} could not be asked.", "Is the mesh up? `nexus status` tells.") from None
    if filming.output == STANDARD:
        return
    if as_json:
        told = {
            "file": filming.output,
            "bytes": size,
            "id": made.id,
            "size": made.size,
            "seconds": made.seconds,
        }
        print_json(told)
    else:
        console.print(
            f"{filming.output}: {size:,} bytes, {made.seconds} s, {made.size}; it is kept as {made.id}"
        )


async def _made(
    session: aiohttp.ClientSession, asked: dict[str, object], show: Callable[[str], None]
) -> _Video:
    async with session.post("/v1/videos", json=asked) as answer:
        made = await _read(answer)
    try:
        while made.status not in OVER:
            show(f"{made.status.replace('_', ' ')}, {made.progress} %")
            await asyncio.sleep(POLL_SECONDS)
            async with session.get(f"/v1/videos/{made.id}") as answer:
                made = await _read(answer)
    except asyncio.CancelledError:
        async with session.delete(f"/v1/videos/{made.id}"):
            pass
        raise
    if made.error is not None:
        raise Failure(made.error.message, "Ask again, or another model with -m.")
    return made


async def _read(answer: aiohttp.ClientResponse) -> _Video:
    body = await answer.read()
    if answer.status != 200:
        raise _refused(body)
    return msgspec.json.decode(body, type=_Video)


def _refused(body: bytes) -> Failure:
    try:
        message = msgspec.json.decode(body, type=_Failed).error.message
    except msgspec.MsgspecError:
        message = "The endpoint's answer is none of a mesh."
    return Failure(message, "`nexus models` lists what there is.")


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[str], None]]:
    """Says how far it is, on a terminal."""
    if not on_terminal():
        yield lambda _: None
        return
    with console.status("Waiting for its turn") as status:
        yield status.update
