"""Which parameters whose key may send: those of the tables anybody, all others who manages models."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from nexus_mesh.core import MeshError, Reason

from nexus_gateway.validation.engine import OPTIONS
from nexus_gateway.validation.parse import ANYWHERE
from nexus_gateway.validation.refusals import shown, unsupported

__all__ = ["granted"]

OF_OPTIONS = "options."
RESIDENCE = frozenset({"keep_alive", "ttl", "num_ctx", "draft_model"})
"""They load, unload or reload a model that everybody shares."""
RUNNER = frozenset({
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "low_vram",
    "numa", "f16_kv", "vocab_only", "logits_all", "embedding_only", "draft_num_predict",
})  # fmt: skip
"""The same of Ollama's options."""


def granted(
    body: Mapping[str, Any], passthrough: Collection[str] = (), *, manages: bool = False
) -> list[str]:
    """The parameters of a request that go to a backend though they do not shape the answer.

    `passthrough`: names the operator lets everybody send. `manages`: whether the key may manage models, and so decide
    about their residence; what else is not known here is then for the backend's own list to refuse. Other keys get
    CALLER_SCOPE for what changes a model's residence, and UNSUPPORTED_PARAMETER for what is not known.
    """
    let: list[str] = []
    for name, residence, known in _unlisted(body):
        if (
            name in passthrough
            or (name.startswith(OF_OPTIONS) and "options" in passthrough)
            or (manages and residence)
        ):
            let.append(name)
        elif not manages:
            raise _refused(name, residence, known)
    return let


def _unlisted(body: Mapping[str, Any]) -> Iterator[tuple[str, bool, Collection[str]]]:
    """What is on no table: its name, whether it decides about a model's residence, and names it might have meant."""
    for name in body:
        if name not in ANYWHERE:
            yield name, name in RESIDENCE, ANYWHERE
    options = body.get("options")
    for name in options if isinstance(options, dict) else ():
        if name not in OPTIONS:
            yield OF_OPTIONS + name, name in RUNNER, [OF_OPTIONS + each for each in OPTIONS]


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
        "`passthrough` under [gateway].",
    )
