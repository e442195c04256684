"""Reads the few facts we need from the head of a GGUF file, and sees that the file is whole."""

from __future__ import annotations

import math
import os
import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

__all__ = ["TENSOR_BLOCKS", "GgufFacts", "read_gguf"]

MAGIC = b"GGUF"
MAX_ENTRIES = 100_000
MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 2**48
"""No file is longer: what points beyond it is rubbish, and more than a seek can take."""
MAX_DIMENSIONS = 4
CUT_SHORT = "it is cut short or damaged"
ALIGNMENT = 32
"""Where tensors start unless `general.alignment` says otherwise."""
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
# Tensor types by their number in the file: (values in a block, bytes of a block).
TENSOR_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 40),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
}
UNKNOWN_BLOCK = (1, 0)
"""A tensor type newer than this table: llama.cpp judges it, we hold the file only to its start."""


SHARD = re.compile(r"-\d{5}-of-\d{5}$")
"""How the files of a model in several are told apart."""


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """`name` is the file's. `pooling` is set for embedding models; `context_tokens` is what the model was trained for,
    0 = unsaid. `bytes_per_token`: of a context in memory, 16 bits a number; 0 = the file does not tell enough."""

    name: str
    architecture: str
    context_tokens: int
    pooling: int
    has_chat_template: bool
    bytes_per_token: int = 0

    @property
    def embeds(self) -> bool:
        return self.pooling > 0


def read_gguf(path: Path) -> GgufFacts:
    """The facts of a model file. Raises ValueError when it is no whole GGUF file, OSError when it can't be read.

    The ValueError's text goes on from the file's name: "it is ...".
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        tensors, entries = _header(file)
        values = {_text(file): _value(file, _scalar(file, "<I")) for _ in range(entries)}
        _see_that_it_is_whole(file, tensors, _told(values, "general.alignment", 0) or ALIGNMENT)
    architecture = _told(values, "general.architecture", "")
    return GgufFacts(
        name=model_id(path),
        architecture=architecture,
        context_tokens=_told(values, f"{architecture}.context_length", 0),
        pooling=_told(values, f"{architecture}.pooling_type", 0),
        has_chat_template=bool(values.get("tokenizer.chat_template")),
        bytes_per_token=_bytes_per_token(values, architecture),
    )


def model_id(path: Path) -> str:
    """What a model file is called: by its own name, which people know and chose, not by what its metadata says."""
    return re.sub(r"\s+", "-", SHARD.sub("", path.stem).strip())


def _bytes_per_token(values: Mapping[str, Any], architecture: str) -> int:
    """Keys and values of all layers. Models whose layers differ give arrays, which are not read."""
    heads = _told(values, f"{architecture}.attention.head_count", 0)
    pairs = _told(values, f"{architecture}.attention.head_count_kv", heads)
    wide = _told(values, f"{architecture}.embedding_length", 0) // heads if heads else 0
    key = _told(values, f"{architecture}.attention.key_length", wide)
    value = _told(values, f"{architecture}.attention.value_length", wide)
    return _told(values, f"{architecture}.block_count", 0) * pairs * (key + value) * 2


T = TypeVar("T", int, str)


def _told(values: Mapping[str, Any], key: str, default: T) -> T:
    """The value of a key, if it is of the default's type."""
    value = values.get(key)
    return value if isinstance(value, type(default)) else default


def _header(file: BinaryIO) -> tuple[int, int]:
    """How many tensors and entries follow."""
    magic = file.read(4)
    if not magic:
        raise ValueError("it is empty, and so not a GGUF file")
    if magic != MAGIC:
        raise ValueError("it is not a GGUF file")
    version, tensors, entries = struct.unpack("<IQQ", _exactly(file, 20))
    if version not in (2, 3) or max(tensors, entries) > MAX_ENTRIES:
        raise ValueError("it is a GGUF file of a version that is not known")
    return tensors, entries


def _see_that_it_is_whole(file: BinaryIO, tensors: int, alignment: int) -> None:
    """Raises ValueError when the file ends before its tensors do. llama.cpp would only say that it cannot load it."""
    length = max((_tensor_end(file) for _ in range(tensors)), default=0)
    start = -(-file.tell() // alignment) * alignment if tensors else file.tell()
    there = os.fstat(file.fileno()).st_size
    if there < start + length:
        raise ValueError(
            f"it is cut short, for it has {there:,} bytes and its tensors reach to byte {start + length:,}"
        )


def _tensor_end(file: BinaryIO) -> int:
    """Reads the description of one tensor; where its data ends, counted from the start of all data."""
    _text(file)
    dimensions = _scalar(file, "<I")
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"it holds a tensor of more than {MAX_DIMENSIONS} dimensions")
    values = math.prod(_scalar(file, "<Q") for _ in range(dimensions))
    kind, offset = struct.unpack("<IQ", _exactly(file, 12))
    per_block, block_bytes = TENSOR_BLOCKS.get(kind, UNKNOWN_BLOCK)
    return offset + values // per_block * block_bytes


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _text(file)
    if kind == ARRAY:
        return _skip_array(file)
    if kind not in SCALARS:
        raise ValueError("it holds a value of a type that is not known")
    return _scalar(file, SCALARS[kind])


def _skip_array(file: BinaryIO) -> None:
    """Arrays are vocabularies: passed over, never kept. Arrays of arrays are unknown to llama.cpp too."""
    kind, length = struct.unpack("<IQ", _exactly(file, 12))
    if kind in SCALARS:
        _skip(file, length * struct.calcsize(SCALARS[kind]))
        return
    if kind != STRING:
        raise ValueError("it holds an array of a type that is not known")
    for _ in range(length):
        _skip(file, _scalar(file, "<Q"))


def _skip(file: BinaryIO, length: int) -> None:
    """Passing the end is noticed by who reads next."""
    if length > MAX_FILE_BYTES:
        raise ValueError(CUT_SHORT)
    file.seek(length, os.SEEK_CUR)


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
        raise ValueError(CUT_SHORT)
    return data
