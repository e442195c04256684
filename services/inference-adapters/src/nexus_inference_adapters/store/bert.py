"""Writes a BERT embedding model as GGUF from the files its authors give: weights as they are, nothing is rounded."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

__all__ = ["write_bert"]

ALIGNMENT = 32
BLOCK = 1024 * 1024
MAX_HEADER = 16 * 1024 * 1024
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
F32 = 0
MEAN = 1
NORMAL, CONTROL, UNUSED = 1, 3, 5
SPECIAL = {"cls": "[CLS]", "seperator": "[SEP]", "padding": "[PAD]", "unknown": "[UNK]", "mask": "[MASK]"}
"""GGUF spells it so."""
TOP = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
IN_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
OUTSIDE = re.compile(r"(embeddings\..+)\.(weight|bias)")


def write_bert(members: zipfile.ZipFile, weights: str, write: Callable[[bytes], object]) -> None:
    """`weights` is the safetensors member; config.json and vocab.txt lie beside it.

    Raises ValueError or KeyError for what is no BERT of 32-bit numbers.
    """
    folder = weights.rpartition("/")[0]
    config = json.loads(members.read(f"{folder}/config.json"))
    words = members.read(f"{folder}/vocab.txt").decode().splitlines()
    with members.open(weights) as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER:
            raise ValueError("no safetensors")
        tensors = sorted(_tensors(json.loads(file.read(length))), key=lambda tensor: tensor[2][0])
        facts = _facts(config, words)
        head = b"GGUF" + struct.pack("<IQQ", 3, sum(bool(name) for name, _, _ in tensors), len(facts))
        head += b"".join(facts)
        at = 0
        for name, shape, (start, end) in tensors:
            if name:
                dimensions = b"".join(struct.pack("<Q", length) for length in reversed(shape))
                head += _text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", F32, at)
                at += _padded(end - start)
        write(head + bytes(_padded(len(head)) - len(head)))
        for name, _, (start, end) in tensors:
            _copy(file, end - start, write if name else lambda _: None)
            if name:
                write(bytes(_padded(end - start) - (end - start)))


def _tensors(header: dict[str, Any]) -> Iterable[tuple[str, Sequence[int], tuple[int, int]]]:
    """Name in GGUF (empty = left out), shape and place of each."""
    for name, told in header.items():
        if name == "__metadata__":
            continue
        new = _renamed(name)
        if new and told["dtype"] != "F32":
            raise ValueError("not of 32-bit numbers")
        yield new, told["shape"], (told["data_offsets"][0], told["data_offsets"][1])


def _renamed(name: str) -> str:
    """The pooler and the positions' numbers are for other uses of BERT."""
    if found := IN_LAYER.fullmatch(name):
        return f"blk.{found[1]}.{LAYER[found[2]]}.{found[3]}"
    if (found := OUTSIDE.fullmatch(name)) and found[1] in TOP:
        return f"{TOP[found[1]]}.{found[2]}"
    return ""


def _facts(config: dict[str, Any], words: Sequence[str]) -> list[bytes]:
    number = {
        "bert.context_length": config["max_position_embeddings"],
        "bert.embedding_length": config["hidden_size"],
        "bert.block_count": config["num_hidden_layers"],
        "bert.feed_forward_length": config["intermediate_size"],
        "bert.attention.head_count": config["num_attention_heads"],
        "bert.pooling_type": MEAN,
        "general.file_type": F32,
        "tokenizer.ggml.token_type_count": config["type_vocab_size"],
        "tokenizer.ggml.bos_token_id": words.index("[CLS]"),
        "tokenizer.ggml.eos_token_id": words.index("[SEP]"),
        **{f"tokenizer.ggml.{name}_token_id": words.index(word) for name, word in SPECIAL.items()},
    }
    special = [word.startswith("[") and word.endswith("]") for word in words]
    texts = [
        _text(word if is_special else _piece(word)) for word, is_special in zip(words, special, strict=True)
    ]
    kinds = [
        NORMAL if not is_special else UNUSED if word.startswith("[unused") else CONTROL
        for word, is_special in zip(words, special, strict=True)
    ]
    return [
        *(_entry(key, STRING, _text(text)) for key, text in (
            ("general.architecture", "bert"), ("tokenizer.ggml.model", "bert"), ("tokenizer.ggml.pre", "default"),
        )),
        *(_entry(key, UINT32, struct.pack("<I", value)) for key, value in number.items()),
        _entry("bert.attention.layer_norm_epsilon", FLOAT32, struct.pack("<f", config["layer_norm_eps"])),
        _entry("bert.attention.causal", BOOL, b"\0"),
        _entry("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", STRING, len(texts)) + b"".join(texts)),
        _entry(
            "tokenizer.ggml.token_type", ARRAY,
            struct.pack("<IQ", INT32, len(kinds)) + struct.pack(f"<{len(kinds)}i", *kinds),
        ),
    ]  # fmt: skip


def _piece(word: str) -> str:
    """Where BERT marks what goes on, GGUF marks what begins a word."""
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _copy(file: IO[bytes], length: int, write: Callable[[bytes], object]) -> None:
    while length:
        block = file.read(min(length, BLOCK))
        if not block:
            raise ValueError("cut short")
        write(block)
        length -= len(block)
