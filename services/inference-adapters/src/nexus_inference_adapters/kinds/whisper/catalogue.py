"""What may be asked of a Whisper model: the parameters that change what comes of a recording. Others are refused."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from nexus.types.v1 import model_pb2
from nexus_operations import Operation

from nexus_inference_adapters.audio import LANGUAGES, TRANSCRIPTS
from nexus_inference_adapters.contract import JsonObject

__all__ = ["told_of"]

OF_BOTH: JsonObject = {
    "file": {"type": "string", "format": "binary", "contentMediaType": "audio/*"},
    "prompt": {"type": "string"},
    "response_format": {"enum": [*TRANSCRIPTS], "default": "json"},
    "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
}
OF_TRANSCRIPTION: JsonObject = {
    "keywords": {"type": "array"},
    "timestamp_granularities": {"type": "array"},
    "stream": {"type": "boolean", "default": False},
    "chunking_strategy": {},
}


def told_of(
    operations: Iterable[model_pb2.Operation], *, english_only: bool
) -> list[model_pb2.OperationParameters]:
    """Of each operation. A language may be written in several ways: of those that the model knows, codes are given."""
    known = ["en"] if english_only else sorted(LANGUAGES)
    language = {"type": "string", "examples": known}
    of: dict[int, JsonObject] = {
        Operation.TRANSCRIPTION: {**OF_BOTH, **OF_TRANSCRIPTION, "language": language},
        Operation.TRANSLATION: OF_BOTH,
    }
    return [
        model_pb2.OperationParameters(
            operation=each,
            schema=msgspec.json.encode(
                {
                    "type": "object",
                    "required": ["file"],
                    "properties": of[each],
                    "additionalProperties": False,
                }
            ).decode(),
        )
        for each in operations
        if each in of
    ]
