"""The process that recognises text: run as a file, so that it loads nothing of the adapter but what it needs.

An order is a line of JSON, {"width", "height"}, and behind it three bytes for each pixel. It never sees a file.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nexus_inference_adapters.children import Frames, confine, one_more_job

MEMORY = 8 << 30
"""Of addresses, which libraries reserve in plenty."""
MOST_THREADS = 4
MOST_LINES = 10_000
BEAT_SECONDS = 2.0
DOUBTFUL = 0.85
"""Mean confidence below which a page may be upside down: those that are not have more."""
COLOURS = 3


class Beat:
    """Says that it works while it does."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._working = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._working.set()
        try:
            yield
        finally:
            with self._lock:
                self._working.clear()

    def _run(self) -> None:
        pause = threading.Event()
        while self._working.wait():
            pause.wait(BEAT_SECONDS)
            with self._lock:
                if self._working.is_set():
                    self._frames.progress(0, 0)


def main() -> None:
    confine(MEMORY)
    frames = Frames()
    beat, engine = Beat(frames), None
    while line := sys.stdin.buffer.readline():
        one_more_job()
        order = json.loads(line)
        size = order["width"] * order["height"] * COLOURS
        pixels = sys.stdin.buffer.read(size)
        if len(pixels) < size:
            return
        try:
            with beat.at_work():
                engine = engine or _engine()
                lines, turned = _recognised(engine, pixels, order["width"], order["height"])
        except Exception as error:
            frames.failed(type(error).__name__)
            continue
        told = json.dumps(lines).encode()
        frames.output(told)
        frames.done(turned=turned)


def _engine() -> Any:
    """Raises OSError when its models are not there: it would ask others for them, which it cannot."""
    from rapidocr import RapidOCR

    logging.disable()
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.text_score": 0.0,  # a line in doubt is told with its confidence, never left out
            "Global.max_side_len": 100_000,  # whoever sends the page has bounded it
            "Det.max_candidates": MOST_LINES,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(MOST_THREADS, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _recognised(engine: Any, pixels: bytes, width: int, height: int) -> tuple[list[dict[str, Any]], bool]:
    """{"text", "confidence", "polygon"} of each line, and whether they are told of the page upside down.

    A page that makes little sense is looked at upside down as well. The library would judge that line by line, and
    turns long ones that are not: what is in the middle of them is then lost.
    """
    import numpy as np

    red_first = np.frombuffer(pixels, np.uint8).reshape(height, width, COLOURS)
    page = np.ascontiguousarray(red_first[:, :, ::-1])
    lines = _lines(engine, page)
    if lines and (sense := _sense(lines)) < DOUBTFUL:
        turned = _lines(engine, np.ascontiguousarray(page[::-1, ::-1]))
        if _sense(turned) > sense:
            return turned, True
    return lines, False


def _lines(engine: Any, page: Any) -> list[dict[str, Any]]:
    found = engine(page, use_cls=False)
    if found.boxes is None or found.txts is None:
        return []
    return [
        {"text": text, "confidence": float(score), "polygon": box.tolist()}
        for box, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        if text.strip()
    ]


def _sense(lines: list[dict[str, Any]]) -> float:
    """Mean confidence of a character."""
    length = sum(len(line["text"]) for line in lines)
    return sum(line["confidence"] * len(line["text"]) for line in lines) / max(1, length)


if __name__ == "__main__":
    main()
