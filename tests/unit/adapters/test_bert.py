"""A BERT of safetensors as GGUF: what the reference reader finds in it, and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest
from nexus_inference_adapters.gguf import read_gguf
from nexus_inference_adapters.store import write_bert
from safetensors.numpy import save

WORDS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "##s"]
CONFIG = {
    "max_position_embeddings": 16, "hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 8,
    "num_attention_heads": 2, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
}  # fmt: skip
WORD, QUERY = "embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.bias"
TENSORS = {
    WORD: np.arange(32, dtype=np.float32).reshape(8, 4),
    "embeddings.position_ids": np.arange(16, dtype=np.int64),
    QUERY: np.array([1, 2, 3], dtype=np.float32),
    "encoder.layer.0.output.LayerNorm.weight": np.ones(4, dtype=np.float32),
    "pooler.dense.bias": np.zeros(4, dtype=np.float32),
}


def written(tensors: dict[str, np.ndarray], path: Path) -> Path:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as members:
        members.writestr("m/config.json", json.dumps(CONFIG))
        members.writestr("m/vocab.txt", "\n".join(WORDS) + "\n")
        members.writestr("m/model.safetensors", save(tensors))
    with zipfile.ZipFile(content) as members, path.open("wb") as file:
        write_bert(members, "m/model.safetensors", file.write)
    return path


def test_it_holds_the_same_numbers_under_llama_cpps_names(tmp_path: Path) -> None:
    reader = gguf.GGUFReader(written(TENSORS, tmp_path / "m.gguf"))
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    assert set(found) == {"token_embd.weight", "blk.0.attn_q.bias", "blk.0.layer_output_norm.weight"}
    assert np.array_equal(found["token_embd.weight"], TENSORS[WORD])
    assert np.array_equal(found["blk.0.attn_q.bias"], TENSORS[QUERY])
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert tokens is not None
    assert tokens.contents()[-3:] == ["[MASK]", "\u2581cat", "s"]
    kinds = reader.get_field("tokenizer.ggml.token_type")
    assert kinds is not None
    assert kinds.contents() == [3, 5, 3, 3, 3, 3, 1, 1]
    separator = reader.get_field("tokenizer.ggml.seperator_token_id")
    assert separator is not None
    assert separator.contents() == 4


def test_the_engine_takes_it_for_an_embedding_model(tmp_path: Path) -> None:
    facts = read_gguf(written(TENSORS, tmp_path / "m.gguf"))
    assert (facts.architecture, facts.context_tokens, facts.embeds) == ("bert", 16, True)


def test_numbers_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="32-bit"):
        written({**TENSORS, WORD: TENSORS[WORD].astype(np.float16)}, tmp_path / "m.gguf")
