"""`chat_template_kwargs`: values for the variables of a model's own template, such as whether it thinks."""

from __future__ import annotations

import re

from nexus_mesh.core import JsonObject

from nexus_gateway.validation.params import mapping, shaped
from nexus_gateway.validation.refusals import bad_value, shown, unsupported, wrong_type

__all__ = ["scalars", "template_variables"]

MOST = 32
LONGEST = 1024
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

RENDERER = frozenset({
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents",
    "load_audio_from_video", "max_length", "messages", "padding", "processor_kwargs",
    "return_assistant_tokens_mask", "return_dict", "return_tensors", "template", "tokenize", "tokenizer",
    "tokenizer_kwargs", "tools", "truncation",
})  # fmt: skip
"""Arguments of the renderer and what it fills in itself: they replace the prompt, not a variable of it."""


@shaped(type="object", maxProperties=MOST)
def scalars(value: object, path: str) -> JsonObject:
    """An object of a few texts, numbers, booleans and nulls."""
    value = mapping(value, path)
    if len(value) > MOST:
        raise bad_value(path, f"have at most {MOST} keys")
    for name, item in value.items():
        if NAME.fullmatch(name) is None:
            raise bad_value(path, "have keys of letters, digits and underscores")
        if type(item) in (dict, list):
            raise wrong_type(f"{path}.{name}", "a string, a number or a boolean", item)
        if type(item) is str and len(item) > LONGEST:
            raise bad_value(f"{path}.{name}", f"have at most {LONGEST} characters")
    return value


@shaped(type="object", maxProperties=MOST)
def template_variables(value: object, path: str) -> None:
    """MeshError INVALID_REQUEST unless it is a map of scalars, UNSUPPORTED_PARAMETER for the renderer's own."""
    for name in scalars(value, path):
        if name in RENDERER:
            raise unsupported(f"{path}.{shown(name)}", "it goes behind the model's own template. Remove it.")
