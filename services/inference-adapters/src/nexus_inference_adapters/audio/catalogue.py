"""Models that speak or hear, as their catalogue shows them: the host holds requests against what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from nexus.types.v1 import model_pb2
from nexus_operations import AUDIO, Operation

from nexus_inference_adapters.audio.languages import LANGUAGES
from nexus_inference_adapters.audio.transcripts import TRANSCRIPTS
from nexus_inference_adapters.contract import JsonObject
from nexus_inference_adapters.vocabulary import SPEECH

__all__ = ["Voice", "hearing_model", "speech_model"]

MOST_BYTES = 12 * 1024
"""Of voices with titles and languages: a model's row has room for so much and no more, and for names alone then."""


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
    """The same model with what it takes. `speeds`: the slowest and the fastest; translates = it has one alone."""
    given = list(voices)
    listed: JsonObject = {"oneOf": [_choice(voice) for voice in given]}
    if len(msgspec.json.encode(listed)) > MOST_BYTES:
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
    formats: Sequence[str] = tuple(TRANSCRIPTS),
    languages: Iterable[str] = (),
    more: Sequence[str] = (),
) -> model_pb2.Model:
    """The same model with what it takes. `languages`: codes, empty = it does not say. `more`: parameters it heeds
    besides its model, file, format and language, of those in OTHERS."""
    codes = sorted(languages)
    of_both: JsonObject = {
        "file": {"type": "string", "format": "binary", "contentMediaType": "audio/*"},
        "response_format": {"enum": [*formats], "default": "json"},
    }
    of_transcription: JsonObject = {
        "stream": {"type": "boolean", "default": False},
        "language": {"enum": codes} if codes else {"type": "string", "examples": sorted(LANGUAGES)},
    }
    for operation in model.operations:
        translates = operation == Operation.TRANSLATION
        heeded = {name: OTHERS[name] for name in more if not translates or name in OF_TRANSLATIONS}
        properties = {**of_both, **({} if translates else of_transcription), **heeded}
        schema = {
            "type": "object",
            "required": ["file"],
            "properties": properties,
            "additionalProperties": False,
        }
        model.parameters.add(operation=operation, schema=msgspec.json.encode(schema).decode())
    return model


OF_TRANSLATIONS = frozenset({"prompt", "temperature"})
OTHERS: dict[str, JsonObject] = {
    "prompt": {"type": "string"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
    "timestamp_granularities": {"type": "array", "items": {"enum": ["word", "segment"]}},
    "chunking_strategy": {"enum": ["auto"], "default": "auto"},
}


def _choice(voice: Voice) -> JsonObject:
    told: JsonObject = {"const": voice.id, "title": voice.title or voice.id}
    return told | ({"languages": list(voice.languages)} if voice.languages else {})
