"""What an Ollama server offers: its tags, what each model can do, and what is in memory."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Http, Inspection, Offer, Seen
from nexus_inference_adapters.vocabulary import capabilities_named, operations_named

__all__ = ["Catalog", "is_ollama", "resident"]

# Ollama's word -> ours. What it can generate it can also hold to a JSON schema.
OPERATIONS = {"completion": ("chat", "completion"), "embedding": ("embedding",)}
LEAST_CONTEXT = 4096
"""What Ollama gives on a small card where OLLAMA_CONTEXT_LENGTH is not set; it tells only once a model is loaded."""
LOGPROBS_SINCE = (0, 12, 11)
CAPABILITIES = {"completion": "json", "tools": "tools", "vision": "vision", "thinking": "reasoning"}


async def is_ollama(http: Http) -> bool:
    """Whether an Ollama answers, by whatever door it was found: it alone has both of these."""
    version = await http.look("GET", "/api/version")
    if not isinstance(version.dig("version"), str):
        return False
    return isinstance((await http.look("GET", "/api/tags")).dig("models"), list)


@dataclass(frozen=True, slots=True)
class _Details:
    """What /api/show says of a model; never changes for a digest."""

    capabilities: tuple[str, ...]
    context_tokens: int
    own_context: int
    """`num_ctx` of its Modelfile, 0 = none."""


class Catalog:
    """Reads the catalog; asks for a model's details once per digest."""

    gives_logprobs = False

    def __init__(self, http: Http, config: BackendConfig) -> None:
        self._http = http
        self._config = config
        self._details: dict[str, _Details] = {}
        self._contexts: dict[str, int] = {}
        self._thinks: dict[str, bool] = {}
        self._usual = LEAST_CONTEXT
        self._version = ""

    def context_of(self, name: str) -> int:
        """The context a model is loaded with; 0 = not known for certain."""
        return self._config.context_tokens or self._contexts.get(name, 0)

    def thinks(self, name: str) -> bool:
        """Whether a model can think; one that is not known is taken to."""
        return self._thinks.get(name, True)

    async def inspect(self) -> Inspection:
        await self._look_at_version()
        tags = await self._http.look("GET", "/api/tags")
        if tags.status != 200 or not isinstance(tags.dig("models"), list):
            raise MeshError(
                Reason.UPSTREAM_ERROR, f"/api/tags answers with status {tags.status}; is this Ollama?"
            )
        running = await self._http.look("GET", "/api/ps")
        contexts = {row.get("name"): row.get("context_length") for row in running.rows("models")}
        self._contexts = {name: _count(length) for name, length in contexts.items() if isinstance(name, str)}
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

    async def _look_at_version(self) -> None:
        """What another version says of its models may be another."""
        version = str((await self._http.look("GET", "/api/version")).dig("version"))
        if version != self._version:
            self._version = version
            self._details.clear()
            self.gives_logprobs = _numbers(version) >= LOGPROBS_SINCE

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
        can = [CAPABILITIES[word] for word in said if word in CAPABILITIES] if own is None else [*own]
        if own is None and self.gives_logprobs and "completion" in said:
            can.append("logprobs")
        does = self._config.operations or [does for word in said for does in OPERATIONS.get(word, ())]
        remote = bool(row.get("remote_host") or row.get("remote_model"))
        self._learn(name, details, contexts)
        self._thinks[name] = "thinking" in said
        model = model_pb2.Model(
            id=name,
            operations=operations_named(does),
            capabilities=capabilities_named(can),
            context_tokens=self.context_of(name)
            or (details.context_tokens if remote else self._given(details)),
            loaded=name in contexts,
            remote=remote,
        )
        if (modified := _timestamp(row.get("modified_at"))) is not None:
            model.create_time.FromSeconds(modified)
        aliases = (name.removesuffix(":latest"),) if name.endswith(":latest") else ()
        return Offer(model, name, aliases, 0 if model.remote else _bytes(row.get("size")))

    def _learn(self, name: str, details: _Details, contexts: dict[Any, Any]) -> None:
        """A loaded model tells what the server gives to those that ask for nothing of their own."""
        length = _count(contexts.get(name))
        if length and not details.own_context and length < details.context_tokens:
            self._usual = length

    def _given(self, details: _Details) -> int:
        """What the engine will give to a model once it is loaded: never more than the model was made for."""
        wanted = details.own_context or self._usual
        return min(wanted, details.context_tokens or wanted)

    async def _details_of(self, row: dict[str, Any]) -> _Details | None:
        key = f"{row['name']}@{row.get('digest')}"
        if key not in self._details:
            shown = await self._http.look("POST", "/api/show", {"model": row["name"]})
            if shown.status != 200:
                return None
            info = shown.dig("model_info")
            info = info if isinstance(info, dict) else {}
            lengths = [_count(value) for name, value in info.items() if name.endswith(".context_length")]
            said = shown.dig("capabilities") or row.get("capabilities")
            said = said if said and isinstance(said, list) else ["completion"]
            own = re.search(r"^num_ctx\s+(\d{1,9})\s*$", str(shown.dig("parameters") or ""), re.MULTILINE)
            self._details[key] = _Details(
                tuple(str(word) for word in said), lengths[0] if lengths else 0, int(own[1]) if own else 0
            )
        return self._details[key]


def resident(running: Seen) -> dict[str, int]:
    """Bytes each model of /api/ps takes of the card; of main memory where nothing of it is on a card."""
    return {
        row["name"]: _bytes(row.get("size_vram")) or _bytes(row.get("size"))
        for row in running.rows("models")
        if isinstance(row.get("name"), str)
    }


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version. 0.0.0 is a build of somebody's own, and counts as new."""
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    numbers = tuple(int(each) for each in found.groups()) if found else ()
    return numbers if not found or any(numbers) else (99,)


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
