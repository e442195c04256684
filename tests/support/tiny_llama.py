"""Random weights of a very small llama: each token is one byte, and only printable ASCII is ever chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

UNK, BOS, EOS = 0, 1, 2
SPECIALS = ("<unk>", "<s>", "</s>")
PRINTABLE = range(0x20, 0x7F)
NEVER = -1000.0

CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n<tools>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "</tools><|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] or '' }}"
    "{% for call in m['tool_calls'] or [] %}<tool_call>\n"
    "{\"name\": \"{{ call['function']['name'] }}\", "
    "\"arguments\": {{ call['function']['arguments'] | tojson }}}"
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML with tools: llama.cpp reads its grammars' place and the tool support from this text."""


@dataclass(frozen=True)
class TinyLlama:
    """Shape and seed; `tensors()` gives every weight under its Hugging Face name.

    Tokens: the three specials, then one per byte. EOS is never chosen: answers end by max_tokens or `stop`.
    """

    seed: int = 7
    context_length: int = 2048
    width: int = 64
    heads: int = 4
    layers: int = 2
    hidden: int = 96

    @property
    def vocab_size(self) -> int:
        return len(SPECIALS) + 256

    def tensors(self) -> Iterator[tuple[str, Array]]:
        rng = np.random.default_rng(self.seed)
        yield "model.embed_tokens.weight", self._embedding(rng)
        for layer in range(self.layers):
            for name, array in self._layer(rng):
                yield f"model.layers.{layer}.{name}", array
        yield "model.norm.weight", np.ones(self.width, np.float32)
        yield "lm_head.weight", self._head(rng)

    def _embedding(self, rng: np.random.Generator) -> Array:
        embedding = normal(rng, self.vocab_size, self.width)
        embedding[:, 0] = 1.0
        return embedding

    def _layer(self, rng: np.random.Generator) -> Iterator[tuple[str, Array]]:
        yield "input_layernorm.weight", np.ones(self.width, np.float32)
        for name in ("q_proj", "k_proj", "v_proj"):
            yield f"self_attn.{name}.weight", normal(rng, self.width, self.width)
        yield "self_attn.o_proj.weight", self._keeping_first(normal(rng, self.width, self.width))
        yield "post_attention_layernorm.weight", np.ones(self.width, np.float32)
        for name in ("gate_proj", "up_proj"):
            yield f"mlp.{name}.weight", normal(rng, self.hidden, self.width)
        yield "mlp.down_proj.weight", self._keeping_first(normal(rng, self.width, self.hidden))

    def _keeping_first(self, projection: Array) -> Array:
        projection[0] = 0.0
        return projection

    def _head(self, rng: np.random.Generator) -> Array:
        """The first channel is positive for every token, so its weight here works as a bias per output."""
        head = normal(rng, self.vocab_size, self.width) * 4.0
        head[:, 0] = NEVER
        head[[len(SPECIALS) + byte for byte in PRINTABLE], 0] = 0.0
        return head


def normal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    return (rng.standard_normal((rows, columns)) / np.sqrt(columns) * 2.0).astype(np.float32)
