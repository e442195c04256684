"""The graph that paints one picture, by the family of the model. Models of another family are not offered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nexus_inference_adapters.contract import Json, JsonObject

__all__ = ["FAMILIES", "OUTPUT", "Family", "graph_of"]

OUTPUT = "picture"
MODEL, STYLE, NOISE, PAINTING = "model", "style", "noise", "painting"
WORDS = ("positive", "negative")


@dataclass(frozen=True, slots=True)
class Family:
    """Types of its nodes, the encoders of its text, and the side of a picture where nobody says one."""

    loader: str
    lora: str
    words: str
    encoders: tuple[str, ...]
    side: int


_SD = Family("main_model_loader", "lora_loader", "compel", ("clip",), 512)
FAMILIES: Mapping[str, Family] = {
    "sd-1": _SD,
    "sd-2": _SD,
    "sdxl": Family("sdxl_model_loader", "sdxl_lora_loader", "sdxl_compel_prompt", ("clip", "clip2"), 1024),
}
"""By what the server calls the base of a model."""


def graph_of(
    family: Family, model: JsonObject, lora: tuple[JsonObject, Json] | None, given: JsonObject
) -> JsonObject:
    """`given`: prompt, negative_prompt, width, height, seed, steps, cfg_scale, and scheduler where it was asked for."""
    size = {"width": given["width"], "height": given["height"]}
    painting = {name: given[name] for name in ("steps", "cfg_scale", "scheduler") if name in given}
    nodes: dict[str, JsonObject] = {
        MODEL: {"type": family.loader, "model": model},
        NOISE: {"type": "noise", "seed": given["seed"], "use_cpu": True, **size},
        PAINTING: {"type": "denoise_latents", **painting},
        # An intermediate one can be pruned before it is fetched.
        OUTPUT: {"type": "l2i", "is_intermediate": False},
    }
    edges = [
        (NOISE, "noise", PAINTING, "noise"),
        (PAINTING, "latents", OUTPUT, "latents"),
        (MODEL, "vae", OUTPUT, "vae"),
    ]
    source = MODEL
    if lora is not None:
        source = STYLE
        nodes[STYLE] = {"type": family.lora, "lora": lora[0], "weight": lora[1]}
        edges += [(MODEL, name, STYLE, name) for name in ("unet", *family.encoders)]
    edges.append((source, "unet", PAINTING, "unet"))
    for name, text in zip(WORDS, (given["prompt"], given["negative_prompt"]), strict=True):
        nodes[name] = {"type": family.words, "prompt": text}
        if "clip2" in family.encoders:
            sides = {f"{kind}_{side}": size[side] for kind in ("original", "target") for side in size}
            nodes[name] |= {"style": text, **sides}
        edges += [(source, encoder, name, encoder) for encoder in family.encoders]
        edges.append((name, "conditioning", PAINTING, f"{name}_conditioning"))
    return {
        "nodes": {key: {"id": key, "is_intermediate": True, **node} for key, node in nodes.items()},
        "edges": [
            {"source": {"node_id": a, "field": b}, "destination": {"node_id": c, "field": d}}
            for a, b, c, d in edges
        ],
    }
