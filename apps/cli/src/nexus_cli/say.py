"""`nexus say`: a text, spoken into a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec
from nexus_client import Client, Options
from nexus_operations import AUDIO

from nexus_cli.chat import Wanted, key_of, url_of
from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, on_terminal, print_json

__all__ = ["STANDARD", "Speech", "opened", "say"]

STANDARD = "-"
"""A file name that stands for standard output."""
HALF = ".part"
LOOK_SECONDS = 10.0
Show = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Speech:
    """What to say, and into what. `form` empty = by the file's ending."""

    text: str
    output: str
    model: str
    """Empty = the first that has the voice."""
    voice: str
    form: str = ""
    speed: float = 1.0
    url: str = ""
    key_file: Path | None = None
    zone: str = ""


def say(layout: Layout, speech: Speech, *, as_json: bool) -> None:
    """Writes the sound as it is made. Raises Failure, MeshError; a file that is there is whole."""
    text, form = speech.text or sys.stdin.read(), _format(speech)
    if not text.strip():
        raise Failure("There is nothing to say.", 'Give a text: nexus say "Hello" -o hello.wav')
    key = key_of(Wanted(key_file=speech.key_file), os.environ.get("NEXUS_KEY", ""))
    url = speech.url.rstrip("/").removesuffix("/v1") or url_of(layout)
    model = speech.model or asyncio.run(_speaker(url, key, speech.voice))
    options = Options(zone=speech.zone, parameters={"response_format": form, "speed": speech.speed})
    size = 0
    with (
        Client.by_key(url, key) as client,
        client.speak(model, text, speech.voice, options) as pieces,
        opened(speech.output, "sound") as file,
        _shown() as show,
    ):
        for piece in pieces:
            file.write(piece)
            size += len(piece)
            show(size)
    if as_json and speech.output != STANDARD:
        print_json({"file": speech.output, "bytes": size, "format": form})
    elif speech.output != STANDARD:
        console.print(f"{speech.output}: {size:,} bytes of {form}")


class _Voice(msgspec.Struct):
    id: str
    models: list[str]


class _Voices(msgspec.Struct):
    voices: list[_Voice]


async def _speaker(url: str, key: str, voice: str) -> str:
    """The first model with a voice. Raises Failure, which lists the voices there are."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=LOOK_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(f"{url}/v1/audio/voices") as answer,
        ):
            told = msgspec.json.decode(await answer.read(), type=_Voices)
    except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
        raise Failure(
            f"{url} did not say which voices it has.", "`nexus status` tells; or give -m."
        ) from None
    known = {each.id: each.models for each in told.voices if each.models}
    if voice not in known:
        raise Failure(f"Nobody here has the voice {voice!r}.", f"There are {', '.join(known) or 'none'}.")
    return known[voice][0]


def _format(speech: Speech) -> str:
    form = speech.form or ("wav" if speech.output == STANDARD else Path(speech.output).suffix[1:].lower())
    form = {"ogg": "opus", "oga": "opus", "raw": "pcm"}.get(form, form)
    if form not in AUDIO:
        known = ", ".join(AUDIO)
        raise Failure(f"The format {form or 'of a file without an ending'!r} is none.", f"There are {known}.")
    return form


@contextlib.contextmanager
def opened(output: str, what: str) -> Iterator[BinaryIO]:
    """The file, under another name until it is whole."""
    if output == STANDARD:
        if sys.stdout.isatty():
            raise Failure(f"A terminal shows no {what}.", "Give a file with -o, or a pipe that takes it.")
        yield sys.stdout.buffer
        return
    half = Path(f"{output}{HALF}")
    try:
        with half.open("wb") as file:
            yield file
        half.replace(output)
    except OSError as error:
        raise Failure(
            f"{output} cannot be written: {error.strerror}.", "Give another file with -o."
        ) from None
    finally:
        half.unlink(missing_ok=True)


@contextlib.contextmanager
def _shown() -> Iterator[Show]:
    """Says how much there is, on a terminal."""
    if not on_terminal():
        yield lambda _: None
        return
    with console.status("Waiting for the first sound") as status:
        yield lambda size: status.update(f"{size / 1024:,.0f} KiB")
