"""Models that speak or hear, as their catalogue shows them: what stands there is held against requests by the host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from nexus.types.v1 import model_pb2
from nexus_operations import AUDIO

from nexus_inference_adapters.contract import JsonObject
from nexus_inference_adapters.vocabulary import SPEECH

__all__ = ["Voice", "hearing_model", "speech_model"]

TITLED = 60
"""Voices that are told with their titles and languages: a model's row has room for so much and no more."""
FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


@dataclass(frozen=True, slots=True)
class Voice:
    """`languages`: BCP 47 tags, the best first; empty = nobody says."""

    id: str
    title: str = ""
    languages: Sequence[str] = ()


def speech_model(
    model: model_pb2.Model,
    voices: Iterable[Voice],
    *,
    speeds: tuple[float, float] = (1, 1),
    formats: Sequence[str] = tuple(AUDIO),
) -> model_pb2.Model:
    """The same model with what it takes. `speeds`: the slowest and the fastest; alike = it has one alone."""
    given = list(voices)
    listed: JsonObject = {"oneOf": [_choice(voice) for voice in given]}
    if len(given) > TITLED:
        listed = {"enum": [voice.id for voice in given]}
    slowest, fastest = speeds
    properties: JsonObject = {
        "input": {"type": "string", "minLength": 1},
        "voice": listed if given else {"type": "string", "minLength": 1},
        "response_format": {"enum": [*formats], "default": "mp3" if "mp3" in formats else formats[0]},
        "speed": {"enum": [1], "default": 1}
        if slowest == fastest
        else {"type": "number", "minimum": slowest, "maximum": fastest, "default": 1},
    }
    schema = {
        "type": "object",
        "required": ["input", "voice"],
        "properties": properties,
        "additionalProperties": False,
    }
    model.parameters.add(operation=SPEECH, schema=msgspec.json.encode(schema).decode())
    return model


def hearing_model(
    model: model_pb2.Model,
    *,
    formats: Sequence[str] = FORMATS,
    languages: Iterable[str] = (),
    more: Sequence[str] = (),
) -> model_pb2.Model:
    """The same model with what it takes. `languages`: codes, empty = it does not say. `more`: parameters it heeds
    besides its model, file, format and language, of those in OTHERS."""
    codes = sorted(languages)
    properties: JsonObject = {
        "response_format": {"enum": [*formats], "default": "json"},
        "stream": {"type": "boolean", "default": False},
        "language": {"enum": codes} if codes else {"type": "string"},
        **{name: OTHERS[name] for name in more},
    }
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    text = msgspec.json.encode(schema).decode()
    for operation in model.operations:
        model.parameters.add(operation=operation, schema=text)
    return model


OTHERS: dict[str, JsonObject] = {
    "prompt": {"type": "string"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
    "timestamp_granularities": {"type": "array", "items": {"enum": ["word", "segment"]}},
    "chunking_strategy": {"enum": ["auto"], "default": "auto"},
}


def _choice(voice: Voice) -> JsonObject:
    told: JsonObject = {"const": voice.id, "title": voice.title or voice.id}
    return told | ({"languages": list(voice.languages)} if voice.languages else {})
