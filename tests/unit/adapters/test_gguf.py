"""The small GGUF reader against the reference writer."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import pytest
from nexus_inference_adapters.gguf import TENSOR_BLOCKS, read_gguf
from support.tiny_gguf import write_tiny_gguf

ENTRY = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k"
"""The head of a file with one entry named k, whose value is still to come."""


def test_a_chat_model(tmp_path: Path) -> None:
    facts = read_gguf(write_tiny_gguf(tmp_path / "x.gguf", name="my-model"))
    assert (facts.name, facts.context_tokens, facts.embeds, facts.has_chat_template) == (
        "x",
        2048,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1"),
        ("my model  of May.gguf", "my-model-of-May"),
        ("qwen3-00001-of-00003.gguf", "qwen3"),
        ("tiny.GGUF", "tiny"),
    ],
)
def test_a_model_is_called_by_its_file(tmp_path: Path, file: str, name: str) -> None:
    """E15: never by the metadata, which names the run that trained it; never with spaces."""
    assert read_gguf(write_tiny_gguf(tmp_path / file, name="Smollm2 135M 8k Lc100K Mix1 Ep2")).name == name


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


def test_a_file_as_long_as_its_tensors_is_whole(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "whole.gguf")
    assert read_gguf(path).architecture == "llama"


@pytest.mark.parametrize("size", [0, 3, 4, 10, 30, 200, 2000, 50_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r"GGUF|cut short"):
        read_gguf(path)


def test_a_file_that_lacks_a_single_byte_is_told_how_long_it_must_be(tmp_path: Path) -> None:
    """The reference writer pads the last tensor; the padding may be missing, the tensor may not."""
    whole = write_tiny_gguf(tmp_path / "whole.gguf")
    last = gguf.GGUFReader(whole).tensors[-1]
    needed = int(last.data_offset) + int(last.n_bytes)
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole.read_bytes()[:needed])
    assert read_gguf(path).name == "cut"
    path.write_bytes(whole.read_bytes()[: needed - 1])
    with pytest.raises(ValueError, match=f"cut short, for it has {needed - 1:,} bytes.* {needed:,}$"):
        read_gguf(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04 and so on", "not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "version that is not known"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + b"\xff" * 8, "longer than 64 MiB"),
        (ENTRY + struct.pack("<I", 77), "value of a type that is not known"),
        (ENTRY + struct.pack("<IIQ", 9, 9, 1), "array of a type that is not known"),
        (ENTRY + struct.pack("<IIQ", 9, 10, 2**64 - 1), "cut short"),
        (ENTRY + struct.pack("<IIQQ", 9, 8, 1, 2**64 - 1), "cut short"),
        (b"GGUF" + struct.pack("<IQQQIQ", 3, 1, 0, 0, 9, 1), "more than 4 dimensions"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_gguf(path)


def test_values_of_the_wrong_kind_are_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("general.name", 7)
    writer.add_array("llama.context_length", [1, 2])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    facts = read_gguf(path)
    assert (facts.name, facts.context_tokens) == ("odd", 0)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is not a file"):
        read_gguf(tmp_path)


def test_tensor_sizes_are_those_of_the_reference() -> None:
    assert {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()} == TENSOR_BLOCKS
