"""The process that speaks: run as a file, so that it loads nothing of the adapter but what it needs.

Orders come on standard input, one JSON object a line: {} for its voices, or {"text", "voice", "speed", "format"}.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import espeakng_loader

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import Encoder

MEMORY = 2 << 30
SYNCHRONOUS = 2
DONT_EXIT = 0x8000
PIECE_MILLISECONDS = 60
UTF8, END_PAUSE = 1, 0x1000
FROM_CHARACTER = 1
RATE, NORMAL_RATE = 1, 175
"""The parameter, and its words a minute."""
SENTENCE = 2
PROGRESS_SECONDS = 0.2
TOLD = 16 * 1024


class Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h. `languages`: a byte of priority and a text with its end, again and again."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class Event(ctypes.Structure):
    """espeak_EVENT. The last one of a call has type 0."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


class Library:
    """libespeak-ng with its data. Raises OSError."""

    def __init__(self) -> None:
        self._lib: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate: int = self._lib.espeak_Initialize(SYNCHRONOUS, PIECE_MILLISECONDS, data, DONT_EXIT)
        if self.rate <= 0:
            raise OSError("its data cannot be read")
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))

    def voices(self) -> list[dict[str, object]]:
        """{"id", "title", "languages", "file"} of each, by id. The id is its language, where no other has that."""
        found: list[dict[str, object]] = []
        taken: set[str] = set()
        for voice in self._listed():
            file = voice.identifier.decode()
            languages = list(_languages(voice.languages))
            own = file.rpartition("/")[2].lower()
            name = languages[0] if languages and languages[0] not in taken else own
            taken.add(name)
            title = voice.name.decode().strip()
            found.append({"id": name, "title": title, "languages": languages, "file": file})
        return sorted(found, key=lambda one: str(one["id"]))

    def speak(self, order: dict[str, Any], frames: Frames) -> None:
        """Frames of the sound, and the one that ends them. The text is heard of piece by piece, as it is spoken."""
        text, samples, told_at = order["text"], 0, time.monotonic()
        encoder = Encoder(order["format"], self.rate, frames.media)
        trouble: list[BaseException] = []

        def heard(wave: int | None, count: int, events: Any) -> int:
            nonlocal samples, told_at
            try:
                if wave and count > 0:
                    samples += count
                    encoder.feed(ctypes.string_at(wave, count * ctypes.sizeof(ctypes.c_short)))
                if time.monotonic() - told_at >= PROGRESS_SECONDS and (at := _position(events)):
                    told_at = time.monotonic()
                    frames.progress(min(at, len(text)), len(text))
            except BaseException as error:  # nothing may be thrown through C
                trouble.append(error)
                return 1
            return 0

        callback = Callback(heard)
        self._lib.espeak_SetSynthCallback(callback)
        if self._lib.espeak_SetVoiceByName(order["voice"].encode()) != 0:
            frames.failed("it does not know the voice any more")
            return
        self._lib.espeak_SetParameter(RATE, round(NORMAL_RATE * order["speed"]), 0)
        said = _plain(text).encode()
        flags = UTF8 | END_PAUSE
        failed = self._lib.espeak_Synth(said, len(said) + 1, 0, FROM_CHARACTER, 0, flags, None, None)
        if trouble:
            raise trouble[0]
        if failed or not samples:
            frames.failed("it has made no sound of the text" if not failed else "it has refused the text")
            return
        encoder.end()
        frames.done(seconds=samples / self.rate)

    def _listed(self) -> Iterator[Voice]:
        rows = self._lib.espeak_ListVoices(None)
        at = 0
        while rows[at]:
            yield rows[at].contents
            at += 1


def _languages(at: int) -> Iterator[str]:
    while ctypes.string_at(at, 1) != b"\0":
        tag = ctypes.string_at(at + 1)
        yield tag.decode()
        at += len(tag) + 2


def _position(events: Any) -> int:
    """How far into the text the sound has come, 0 = it does not say."""
    at, found = 0, 0
    while events and events[at].type:
        if events[at].type == SENTENCE:
            found = events[at].text_position
        at += 1
    return found


def _plain(text: str) -> str:
    """Without control characters: the library takes some for commands."""
    return "".join(character if character.isprintable() else " " for character in text)


def main() -> None:
    confine(MEMORY)
    frames = Frames()
    try:
        library = Library()
    except (OSError, RuntimeError) as error:
        frames.failed(f"eSpeak NG cannot be loaded on this machine: {error}")
        return
    known = {one["id"]: one for one in library.voices()}
    for line in sys.stdin:
        one_more_job()
        order = json.loads(line)
        if order:
            library.speak({**order, "voice": known[order["voice"]]["file"]}, frames)
        else:
            listed = [{key: one[key] for key in ("id", "title", "languages")} for one in known.values()]
            frames.done(voices=listed, rate=library.rate)


if __name__ == "__main__":
    main()
