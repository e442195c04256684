"""A transcript in the forms it can be asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nexus_inference_adapters.contract import JsonObject, Text

__all__ = ["TRANSCRIPTS", "Transcript", "delta", "done", "text_of"]


@dataclass(slots=True)
class Transcript:
    """What was heard. `duration` in seconds, 0 = nobody says; segments as the recogniser tells them."""

    task: str
    language: str = ""
    duration: float = 0.0
    segments: list[JsonObject] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(segment["text"] for segment in self.segments).strip()

    @property
    def used(self) -> JsonObject:
        """The key of an answer that says how much was heard; nothing where nobody knows."""
        if not self.duration:
            return {}
        return {"usage": {"type": "duration", "seconds": math.ceil(self.duration)}}


def delta(text: str) -> str:
    """The event that adds a piece of a transcript."""
    return json.dumps({"type": "transcript.text.delta", "delta": text}, ensure_ascii=False)


def done(transcript: Transcript) -> str:
    """The event that ends one. OpenAI's has room for tokens alone, not for seconds."""
    return json.dumps({"type": "transcript.text.done", "text": transcript.text}, ensure_ascii=False)


def text_of(transcript: Transcript, wanted: str, grains: Sequence[str]) -> Text:
    """The answer in a format; `grains` of verbose_json: "word", "segment" or both."""
    body, mime_type = TRANSCRIPTS[wanted](transcript, grains)
    return Text(body, mime_type)


def _json(transcript: Transcript, _: Sequence[str]) -> tuple[str, str]:
    return json.dumps({"text": transcript.text, **transcript.used}, ensure_ascii=False), ""


def _verbose(transcript: Transcript, grains: Sequence[str]) -> tuple[str, str]:
    answer: JsonObject = {
        "task": transcript.task,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if "segment" in grains or not grains:
        answer["segments"] = [
            {key: value for key, value in segment.items() if key not in ("kind", "words")}
            for segment in transcript.segments
        ]
    if "word" in grains:
        answer["words"] = [
            {**word, "word": word["word"].strip()}
            for segment in transcript.segments
            for word in segment["words"]
        ]
    return json.dumps({**answer, **transcript.used}, ensure_ascii=False), ""


def _text(transcript: Transcript, _: Sequence[str]) -> tuple[str, str]:
    return f"{transcript.text}\n", "text/plain"


def _srt(transcript: Transcript, _: Sequence[str]) -> tuple[str, str]:
    cues = (
        f"{number}\n{_clock(segment['start'], ',')} --> {_clock(segment['end'], ',')}\n{segment['text'].strip()}\n"
        for number, segment in enumerate(transcript.segments, 1)
    )
    return "\n".join(cues), "application/x-subrip"


def _vtt(transcript: Transcript, _: Sequence[str]) -> tuple[str, str]:
    cues = (
        f"{_clock(segment['start'], '.')} --> {_clock(segment['end'], '.')}\n{_escaped(segment['text'].strip())}\n"
        for segment in transcript.segments
    )
    return "\n".join(("WEBVTT\n", *cues)), "text/vtt"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _clock(seconds: float, point: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


TRANSCRIPTS: dict[str, Callable[[Transcript, Sequence[str]], tuple[str, str]]] = {
    "json": _json,
    "verbose_json": _verbose,
    "text": _text,
    "srt": _srt,
    "vtt": _vtt,
}
