"""Which parameters whose key may send: those of the tables anybody, all others who manages models."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from nexus_mesh.errors import MeshError, Reason

from nexus_gateway.validation.engine import OPTIONS
from nexus_gateway.validation.parse import ANYWHERE
from nexus_gateway.validation.refusals import shown, unsupported

__all__ = ["refuse_unpermitted"]

RESIDENCE = frozenset({"keep_alive", "ttl", "num_ctx", "draft_model"})
"""They load, unload or reload a model that everybody shares."""
RUNNER = frozenset({
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "low_vram",
    "numa", "f16_kv", "vocab_only", "logits_all", "embedding_only", "draft_num_predict",
})  # fmt: skip
"""The same of Ollama's options."""


def refuse_unpermitted(body: Mapping[str, Any], passthrough: Collection[str] = ()) -> None:
    """MeshError CALLER_SCOPE for what changes the model's residence, UNSUPPORTED_PARAMETER for what is not known here.

    For keys that may not manage models. `passthrough`: names the operator lets everybody send besides.
    """
    for name in body:
        if name not in ANYWHERE and name not in passthrough:
            raise _refused(name, name in RESIDENCE, ANYWHERE)
    options = body.get("options")
    if isinstance(options, dict) and "options" not in passthrough:
        for name in options:
            if name not in OPTIONS:
                raise _refused(f"options.{name}", name in RUNNER, [f"options.{each}" for each in OPTIONS])


def _refused(name: str, residence: bool, known: Collection[str]) -> MeshError:
    if residence:
        return MeshError(
            Reason.CALLER_SCOPE,
            f"'{name}' loads or unloads a model that others use, and this API key may ask models and not manage them. "
            "Leave it out, or let the key: `nexus keys update KEY --manage`.",
            metadata={"param": name},
        )
    near = difflib.get_close_matches(name[:64], known, 1, 0.8)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    return unsupported(
        shown(name),
        f"this gateway does not know it.{meant} Leave it out; the operator lets it through with "
        "`passthrough` under [gateway], or for one key with --manage.",
    )
