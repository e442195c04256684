"""Writes the trained model as one GGUF file: Llama, Q8_0 matrices, with its tokenizer and chat template."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from tokenizers import Tokenizer

from tools.demo_model.network import Shape, Weights
from tools.demo_model.tokenizer import END, END_OF_TEXT, PRE_TOKENIZER, SPECIAL

DESCRIPTION = (
    "A tiny demo model, trained to answer a few questions about NEXUS, each for itself. It reads the last message "
    "only, and no system message. Not for real work."
)
# So small a model mixes up whatever else it reads, so it is shown the last message only. Very short system messages
# are let through: llama.cpp tries one, and would else put every system message before the question.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if loop.last or (message['role'] == 'system' and message['content'] | length < 25) -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}"""
_LAYER_TENSORS = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "feed_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(path: Path, shape: Shape, tokenizer: Tokenizer, weights: Weights) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, shape)
    _add_tokenizer(writer, tokenizer)
    _add_tensors(writer, shape, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("nexus-demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("mit")
    writer.add_languages(["en"])
    writer.add_tags(["demo", "text-generation"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    ids = tokenizer.get_vocab()
    names = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(names)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if name in SPECIAL else gguf.TokenType.NORMAL for name in names]
    )
    writer.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_bos_token_id(ids[END_OF_TEXT])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_eos_token_id(ids[END])
    writer.add_eot_token_id(ids[END])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_tensors(writer: gguf.GGUFWriter, shape: Shape, weights: Weights) -> None:
    _add_matrix(writer, "token_embd.weight", weights["embedding"])
    writer.add_tensor("output_norm.weight", weights["norm"])
    for layer in range(shape.layers):
        for ours, theirs in _LAYER_TENSORS.items():
            value, name = weights[f"{layer}.{ours}"], f"blk.{layer}.{theirs}.weight"
            if value.ndim == 1:
                writer.add_tensor(name, value)
            else:
                _add_matrix(writer, name, value.T)


def _add_matrix(writer: gguf.GGUFWriter, name: str, rows: np.ndarray) -> None:
    """A (outputs, inputs) matrix, quantised along its inputs."""
    quantised = gguf.quants.quantize(np.ascontiguousarray(rows), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
