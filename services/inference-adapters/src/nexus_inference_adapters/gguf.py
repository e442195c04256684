"""Reads the few facts we need from the head of a GGUF file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["GgufFacts", "read_gguf"]

MAGIC = b"GGUF"
MAX_ENTRIES = 100_000
MAX_TEXT_BYTES = 64 * 1024 * 1024
STRING, ARRAY = 8, 9
# Value types by their number in the file; 8 and 9 are strings and arrays.
SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """`pooling` is set for embedding models; `context_tokens` is what the model was trained for, 0 = unsaid."""

    name: str
    context_tokens: int
    pooling: int
    has_chat_template: bool

    @property
    def embeds(self) -> bool:
        return self.pooling > 0


def read_gguf(path: Path) -> GgufFacts:
    """The facts of a model file. Raises ValueError when it is no GGUF file, OSError when it can't be read."""
    with path.open("rb") as file:
        values = _metadata(file)
    prefix = values.get("general.architecture", "")
    return GgufFacts(
        name=values.get("general.name") or path.stem,
        context_tokens=int(values.get(f"{prefix}.context_length", 0)),
        pooling=int(values.get(f"{prefix}.pooling_type", 0)),
        has_chat_template=bool(values.get("tokenizer.chat_template")),
    )


def _metadata(file: BinaryIO) -> dict[str, Any]:
    if file.read(4) != MAGIC:
        raise ValueError("it is not a GGUF file")
    version, _, entries = struct.unpack("<IQQ", _exactly(file, 20))
    if version not in (2, 3) or entries > MAX_ENTRIES:
        raise ValueError("it is a GGUF file of a version that is not known")
    return {_text(file): _value(file, _scalar(file, "<I")) for _ in range(entries)}


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _text(file)
    if kind == ARRAY:
        return _skip_array(file)
    if kind not in SCALARS:
        raise ValueError("it holds a value of a type that is not known")
    return _scalar(file, SCALARS[kind])


def _skip_array(file: BinaryIO) -> None:
    """Arrays are vocabularies: passed over, never kept."""
    kind, length = struct.unpack("<IQ", _exactly(file, 12))
    if kind in SCALARS:
        file.seek(length * struct.calcsize(SCALARS[kind]), 1)
        return
    if kind not in (STRING, ARRAY):
        raise ValueError("it holds an array of a type that is not known")
    for _ in range(length):
        if kind == STRING:
            file.seek(_scalar(file, "<Q"), 1)
        else:
            _skip_array(file)


def _text(file: BinaryIO) -> str:
    length = _scalar(file, "<Q")
    if length > MAX_TEXT_BYTES:
        raise ValueError("it holds a text longer than 64 MiB")
    return _exactly(file, length).decode("utf-8", "replace")


def _scalar(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, _exactly(file, struct.calcsize(form)))[0]


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise ValueError("it is cut short")
    return data
