"""The small GGUF reader against the reference writer."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from nexus_inference_adapters.gguf import read_gguf
from support.tiny_gguf import write_tiny_gguf


def test_a_chat_model(tmp_path: Path) -> None:
    facts = read_gguf(write_tiny_gguf(tmp_path / "x.gguf", name="my-model"))
    assert (facts.name, facts.context_tokens, facts.embeds, facts.has_chat_template) == (
        "my-model",
        2048,
        False,
        True,
    )


def test_an_embedding_model_named_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mini.gguf"
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(512)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_list(["a", "b"])
    writer.add_token_scores([0.5, 1.5])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    facts = read_gguf(path)
    assert (facts.name, facts.context_tokens, facts.embeds) == ("mini", 512, True)


@pytest.mark.parametrize("size", [0, 3, 4, 10, 30, 200, 2000])
def test_a_file_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r"GGUF|cut short"):
        read_gguf(path)
