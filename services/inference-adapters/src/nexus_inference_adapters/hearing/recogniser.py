"""A process that holds one Whisper model and recognises what it is given: `... hearing.recogniser FOLDER THREADS`.

Orders come on its standard input, a socket: one line of JSON each, with the descriptor of a file of plain sound, as the
decoder makes it. Answers go to its standard output, lines of JSON. One order at a time; it ends with its input.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

from nexus_inference_adapters.children import MIB, close_doors, confine
from nexus_inference_adapters.hearing.sound import RATE

__all__ = ["BLOCK_SECONDS"]

MEMORY_BEYOND_MODEL = 12_288 * MIB
"""Of addresses, which libraries reserve in plenty."""
BLOCK_SECONDS = 300
"""Of sound that is looked at together: what is needed for it grows with it."""
SEEK_QUIET = 30
"""Seconds at a block's end in which the quietest moment is looked for to cut there."""
QUIET_SAMPLES = RATE // 5
LARGEST_ORDER = 512 * 1024
BEAT_SECONDS = 2.0


class Answers:
    """Lines to whoever ordered. While it works a beat says that it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out = os.fdopen(1, "wb", closefd=False)
        self._working = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def say(self, **what: Any) -> None:
        with self._lock:
            self._out.write(json.dumps(what).encode() + b"\n")
            self._out.flush()

    def work(self, *, on: bool) -> None:
        (self._working.set if on else self._working.clear)()

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            self._working.wait()
            pause.wait(BEAT_SECONDS)
            if self._working.is_set():
                self.say(kind="alive")


def main(folder: str, threads: int) -> None:
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    confine(MEMORY_BEYOND_MODEL + 4 * size)
    answers = Answers()
    answers.work(on=True)
    from faster_whisper import WhisperModel
    from faster_whisper.vad import get_vad_model

    model = WhisperModel(
        folder, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )
    get_vad_model()
    _try(model)
    close_doors(spare=2)
    answers.work(on=False)
    answers.say(kind="ready", multilingual=bool(model.model.is_multilingual))
    orders = socket.socket(fileno=os.dup(0))
    while order := _next(orders):
        told, file = order
        answers.work(on=True)
        try:
            _recognise(model, told, file, answers)
        except Exception as error:
            answers.say(kind="problem", name=type(error).__name__)
        finally:
            answers.work(on=False)
            os.close(file)


def _try(model: Any) -> None:
    """Has the libraries load what they load when they are first used: later they could not."""
    import numpy as np

    np.median(np.ma.masked_array([0.0]))
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    list(model.transcribe(noise, language="en", temperature=0.0, word_timestamps=True, max_new_tokens=4)[0])


def _next(orders: socket.socket) -> tuple[dict[str, Any], int] | None:
    line, files = b"", list[int]()
    while not line.endswith(b"\n"):
        data, given, _, _ = socket.recv_fds(orders, LARGEST_ORDER, 1)
        files += given
        if not data:
            return None
        line += data
    return json.loads(line), files[0]


def _recognise(model: Any, told: dict[str, Any], file: int, answers: Answers) -> None:
    import numpy as np

    total = os.fstat(file).st_size // 2 / RATE
    language, number, at = told["language"], 0, 0
    vad = told["vad"]
    for block in _blocks(file):
        segments, info = model.transcribe(
            np.asarray(block, dtype=np.float32) / 32768.0,
            task=told["task"],
            language=language,
            initial_prompt=told["prompt"] or None,
            hotwords=told["keywords"] or None,
            temperature=told["temperature"] or (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
            word_timestamps=told["words"],
            vad_filter=True,
            vad_parameters=vad,
        )
        if at == 0 or language is None:
            language = info.language
            answers.say(kind="begun", language=language, duration=total)
        offset = at / RATE
        for segment in segments:
            answers.say(
                kind="segment",
                id=number,
                seek=segment.seek + int(offset * 100),
                start=round(segment.start + offset, 3),
                end=round(min(segment.end + offset, total), 3),
                text=segment.text,
                tokens=segment.tokens,
                temperature=segment.temperature,
                avg_logprob=segment.avg_logprob,
                compression_ratio=segment.compression_ratio,
                no_speech_prob=segment.no_speech_prob,
                words=[
                    {
                        "word": each.word,
                        "start": round(each.start + offset, 3),
                        "end": round(each.end + offset, 3),
                    }
                    for each in segment.words or ()
                ],
            )
            number += 1
        at += len(block)
        answers.say(kind="heard", seconds=at / RATE)
    answers.say(kind="done")


def _blocks(file: int) -> Iterator[Any]:
    """The sound in pieces, cut where it is quiet."""
    import numpy as np

    samples = np.memmap(os.fdopen(file, "rb", closefd=False), dtype=np.int16, mode="r")
    at, longest = 0, BLOCK_SECONDS * RATE
    while at < len(samples):
        end = min(len(samples), at + longest)
        if end < len(samples):
            tail = samples[end - SEEK_QUIET * RATE : end].astype(np.float32)
            rows = tail[: len(tail) // QUIET_SAMPLES * QUIET_SAMPLES].reshape(-1, QUIET_SAMPLES)
            quietest = int(np.argmin((rows * rows).mean(axis=1)))
            end = end - SEEK_QUIET * RATE + quietest * QUIET_SAMPLES + QUIET_SAMPLES // 2
        yield samples[at:end]
        at = end


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
