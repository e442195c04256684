"""Writes a tiny llama as a model folder for mlx-lm: config, weights, byte tokenizer, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file
from support.tiny_llama import BOS, CHAT_TEMPLATE, EOS, SPECIALS, UNK, TinyLlama
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


def write_tiny_mlx(folder: Path, model: TinyLlama | None = None) -> Path:
    """Write `model` into `folder` (made if absent) and return it."""
    model = model or TinyLlama()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(model.tensors()), folder / "model.safetensors", metadata={"format": "mlx"})
    write_json(folder / "config.json", config(model))
    write_json(folder / "tokenizer_config.json", tokenizer_config(model))
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def config(model: TinyLlama) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": model.width,
        "intermediate_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.heads,
        "max_position_embeddings": model.context_length,
        "vocab_size": model.vocab_size,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "torch_dtype": "float32",
    }


def tokenizer_config(model: TinyLlama) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": SPECIALS[UNK],
        "bos_token": SPECIALS[BOS],
        "eos_token": SPECIALS[EOS],
        "model_max_length": model.context_length,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }


def byte_tokenizer() -> Tokenizer:
    """Byte-level BPE without a single merge: one token per byte, in byte order after the specials."""
    letters = [*SPECIALS, *(byte_letter(byte) for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIALS])
    return tokenizer


def byte_letter(byte: int) -> str:
    """The visible character that byte-level BPE writes for a byte: itself, or the next one past U+00FF."""
    if is_visible(byte):
        return chr(byte)
    return chr(256 + sum(not is_visible(other) for other in range(byte)))


def is_visible(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


@pytest.fixture(scope="session")
def tiny_mlx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    return write_tiny_mlx(tmp_path_factory.mktemp("mlx") / "tiny")
