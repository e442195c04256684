"""What an Ollama server offers: its tags, what each model can do, and what is in memory."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.errors import MeshError, Reason

from nexus_inference_adapters.adapter import Inspection, Offer
from nexus_inference_adapters.config import BackendConfig
from nexus_inference_adapters.http import Http, Seen
from nexus_inference_adapters.vocabulary import capabilities_named, operations_named

__all__ = ["Catalog", "resident"]

# Ollama's word -> ours. What it can generate it can also hold to a JSON schema.
OPERATIONS = {"completion": ("chat", "completion"), "embedding": ("embedding",)}
CAPABILITIES = {"completion": "json", "tools": "tools", "vision": "vision", "thinking": "reasoning"}


@dataclass(frozen=True, slots=True)
class _Details:
    """What /api/show says of a model; never changes for a digest."""

    capabilities: tuple[str, ...]
    context_tokens: int


class Catalog:
    """Reads the catalog; asks for a model's details once per digest."""

    def __init__(self, http: Http, config: BackendConfig) -> None:
        self._http = http
        self._config = config
        self._details: dict[str, _Details] = {}

    async def inspect(self) -> Inspection:
        tags = await self._http.look("GET", "/api/tags")
        if tags.status != 200 or not isinstance(tags.dig("models"), list):
            raise MeshError(
                Reason.UPSTREAM_ERROR, f"/api/tags answers with status {tags.status}; is this Ollama?"
            )
        running = await self._http.look("GET", "/api/ps")
        contexts = {row.get("name"): row.get("context_length") for row in running.rows("models")}
        offers = [
            await self._offer(row, contexts)
            for row in tags.rows("models")
            if isinstance(row.get("name"), str) and self._is_allowed(row["name"])
        ]
        return Inspection(
            instance_pb2.STATE_ACTIVE,
            offers=[offer for offer in offers if offer is not None],
            resident=resident(running),
        )

    def _is_allowed(self, name: str) -> bool:
        allowed = self._config.models
        return not allowed or name in allowed or name.removesuffix(":latest") in allowed

    async def _offer(self, row: dict[str, Any], contexts: dict[Any, Any]) -> Offer | None:
        name = row["name"]
        details = await self._details_of(row)
        if details is None:
            return None
        said = details.capabilities
        own = self._config.capabilities
        can = [CAPABILITIES[word] for word in said if word in CAPABILITIES] if own is None else own
        does = self._config.operations or [does for word in said for does in OPERATIONS.get(word, ())]
        loaded_context = contexts.get(name)
        model = model_pb2.Model(
            id=name,
            operations=operations_named(does),
            capabilities=capabilities_named(can),
            context_tokens=self._config.context_tokens or _count(loaded_context) or details.context_tokens,
            loaded=name in contexts,
            remote=bool(row.get("remote_host") or row.get("remote_model")),
        )
        if (modified := _timestamp(row.get("modified_at"))) is not None:
            model.create_time.FromSeconds(modified)
        aliases = (name.removesuffix(":latest"),) if name.endswith(":latest") else ()
        return Offer(model, name, aliases, 0 if model.remote else _bytes(row.get("size")))

    async def _details_of(self, row: dict[str, Any]) -> _Details | None:
        key = f"{row['name']}@{row.get('digest')}"
        if key not in self._details:
            shown = await self._http.look("POST", "/api/show", {"model": row["name"]})
            if shown.status != 200:
                return None
            info = shown.dig("model_info") or {}
            lengths = [_count(value) for name, value in info.items() if name.endswith(".context_length")]
            said = shown.dig("capabilities") or row.get("capabilities") or ("completion",)
            self._details[key] = _Details(tuple(str(word) for word in said), lengths[0] if lengths else 0)
        return self._details[key]


def resident(running: Seen) -> dict[str, int]:
    """Bytes each model of /api/ps takes of the card; of main memory where nothing of it is on a card."""
    return {
        row["name"]: _bytes(row.get("size_vram")) or _bytes(row.get("size"))
        for row in running.rows("models")
        if isinstance(row.get("name"), str)
    }


def _bytes(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**63 else 0


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**32 else 0


def _timestamp(text: Any) -> int | None:
    """Seconds since the epoch of an RFC 3339 time."""
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp())
    except (TypeError, ValueError):
        return None
