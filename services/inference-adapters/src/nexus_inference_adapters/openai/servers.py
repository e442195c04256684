"""What tells OpenAI-compatible servers apart and what each of them offers, as one table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Shape, spec_of

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Http, Inspection, Offer, Work
from nexus_inference_adapters.openai.counters import Counter, by_llama_cpp, by_vllm
from nexus_inference_adapters.vocabulary import capabilities_named, operations_named

__all__ = ["SERVERS", "Facts", "Listing", "Server", "detect", "offers"]

ALL_OPERATIONS = ("chat", "completion", "embedding")
STANDARD = ("tools", "json", "logprobs", "choices", "tool_choice")
ENGINE = (*STANDARD, "token_input")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a backend says of itself beyond its list of models; None = it does not say."""

    capabilities: tuple[str, ...] | None = None
    context_tokens: int | None = None
    operations: tuple[str, ...] | None = None
    capacity: int = 0
    problem: str = ""
    state: instance_pb2.State = instance_pb2.STATE_UNHEALTHY
    """What the problem makes of the backend."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of /v1/models, by which servers are told apart."""

    rows: list[dict[str, Any]]

    def owned_by(self, owner: str) -> bool:
        return any(row.get("owned_by") == owner for row in self.rows)


async def _health(http: Http) -> Facts:
    """Where there is no /health, listing the models has been sign enough."""
    health = await http.look("GET", "/health")
    return Facts(problem="It says it is not healthy." if health.status == 503 else "")


async def _llama_cpp_props(http: Http) -> Facts:
    """Context per slot, slots and modalities. While weights load, /health says so."""
    health = await http.look("GET", "/health")
    if health.status == 503:
        return Facts(problem="The model is loading.", state=instance_pb2.STATE_STARTING)
    props = await http.look("GET", "/props")
    can = ["json", "logprobs", "choices", "tool_choice", "token_input", "reasoning", "prefill"]
    if props.dig("chat_template_caps", "supports_tools") or props.dig(
        "chat_template_caps", "supports_tool_calls"
    ):
        can.append("tools")
    can += [name for name in ("vision", "audio") if props.dig("modalities", name) is True]
    context = props.dig("default_generation_settings", "n_ctx")
    slots = props.dig("total_slots")
    # An empty request costs nothing and is refused with 501 by a server that was not started for embeddings.
    embeds = (await http.look("POST", "/v1/embeddings", {})).status != 501
    return Facts(
        capabilities=tuple(can),
        context_tokens=context if isinstance(context, int) else None,
        operations=ALL_OPERATIONS if embeds else ("chat", "completion"),
        capacity=slots if isinstance(slots, int) else 0,
    )


async def _exo_state(http: Http) -> Facts:
    """exo lists models it could place; it answers only for those that are placed."""
    state = await http.look("GET", "/state")
    placed = state.dig("instances")
    return Facts(
        problem="" if placed else "No model is placed on the cluster yet.", state=instance_pb2.STATE_STARTING
    )


def _never(_: Work) -> bool:
    return False


def _generates(work: Work) -> bool:
    return spec_of(work.operation).shape is Shape.CHUNKS and not isinstance(work.body.get("prompt"), list)


OWN_WAYS = frozenset({
    "functions", "function_call", "audio", "modalities", "web_search_options", "use_beam_search", "best_of", "echo",
})  # fmt: skip
"""What streams of some engines do not hold, or are refused with."""


def _plain(work: Work) -> bool:
    """A silent backend shows itself in a stream long before its total time; not all that is whole comes as one."""
    return _generates(work) and not any(work.body.get(name) for name in OWN_WAYS)


def _llama_cpp_streams_only(work: Work) -> bool:
    """It refuses to stream log probabilities beside tools, and mixes up the streams of several prompts."""
    return _generates(work) and not (work.body.get("tools") and work.body.get("logprobs"))


@dataclass(frozen=True, slots=True)
class Server:
    """One row: how to recognise a server and what it does by default.

    `context_key` is where a row of /v1/models carries the model's context; `streams_only` says which whole answers are
    read as streams: a silent one is given up long before its total time, and llama.cpp notices a client's leaving
    only so. It costs a chunk per token, and fields no stream has. `keeps_after_stream` is False for a server that
    closes the connection after a stream without saying so, which the next request on it would fall into. `prefill`
    are the parameters by which it goes on with the last message instead of answering it. `counter` asks it for the
    tokens of a prompt.
    """

    name: str
    fits: Callable[[Listing], bool]
    capabilities: tuple[str, ...]
    context_key: str = "max_model_len"
    facts: Callable[[Http], Awaitable[Facts]] = _health
    streams_only: Callable[[Work], bool] = _never
    keeps_after_stream: bool = True
    prefill: Mapping[str, Any] = field(default_factory=dict)
    counter: Counter | None = None

    async def inspect(self, http: Http, config: BackendConfig) -> Inspection:
        """State and models of a backend of this make."""
        listing = await _listing(http)
        facts = await self.facts(http)
        if facts.problem:
            return Inspection(facts.state, facts.problem)
        rows = listing.rows or [{"id": name} for name in config.models]
        found = offers(rows, config, self, facts)
        if not found:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It offers none of the models; check its `models` setting."
            )
        return Inspection(instance_pb2.STATE_ACTIVE, offers=found, capacity=facts.capacity)


SERVERS = (
    Server(
        "llama.cpp",
        lambda seen: seen.owned_by("llamacpp"),
        ENGINE,
        "",
        _llama_cpp_props,
        _llama_cpp_streams_only,
        keeps_after_stream=False,
        counter=by_llama_cpp,
    ),
    Server(
        "vllm",
        lambda seen: seen.owned_by("vllm"),
        (*ENGINE, "reasoning", "prefill"),
        streams_only=_plain,
        prefill={"add_generation_prompt": False, "continue_final_message": True},
        counter=by_vllm,
    ),
    Server(
        "exo",
        lambda seen: seen.owned_by("exo"),
        ("tools", "reasoning"),
        "context_length",
        _exo_state,
        _generates,
    ),
    Server(
        "lm-studio",
        lambda seen: seen.owned_by("organization_owner"),
        ("tools", "json", "reasoning"),
        "",
        streams_only=_generates,
    ),
    Server(
        "openai",
        lambda seen: seen.owned_by("openai") or seen.owned_by("system"),
        (*STANDARD, "vision"),
        streams_only=_plain,
    ),
    Server("other", lambda _: True, STANDARD, streams_only=_plain),
)


async def detect(http: Http) -> Server:
    """The make of server that a backend is."""
    listing = await _listing(http)
    return next(server for server in SERVERS if server.fits(listing))


async def _listing(http: Http) -> Listing:
    seen = await http.look("GET", "/v1/models")
    if seen.status in (401, 403):
        raise MeshError(Reason.UPSTREAM_ERROR, "The backend refused NEXUS; check its api_key_env.")
    if seen.status == 503:
        raise MeshError(Reason.MODEL_NOT_READY, "The backend is still loading the model.")
    if seen.status not in (200, 404):
        raise MeshError(
            Reason.UPSTREAM_ERROR, f"The backend answers its list of models with status {seen.status}."
        )
    return Listing([row for row in seen.rows("data") if isinstance(row.get("id"), str)])


def offers(rows: list[dict[str, Any]], config: BackendConfig, server: Server, facts: Facts) -> list[Offer]:
    """The models of a listing that the allow-list admits; the configuration's word is added where none is said."""
    said = facts.capabilities or server.capabilities
    found: list[Offer] = []
    for row in rows:
        offered = public_name(row["id"])
        if config.models and not {offered, row["id"]} & set(config.models):
            continue
        context = config.context_tokens or facts.context_tokens or row.get(server.context_key)
        model = model_pb2.Model(
            id=offered,
            operations=operations_named(config.operations or facts.operations or ALL_OPERATIONS),
            capabilities=capabilities_named(config.capabilities if config.capabilities is not None else said),
            context_tokens=context if isinstance(context, int) and 0 < context < 2**32 else 0,
            owner=row["owned_by"] if isinstance(row.get("owned_by"), str) else "",
            loaded=True,
        )
        if isinstance(row.get("created"), int) and 0 < row["created"] < 2**33:
            model.create_time.FromSeconds(row["created"])
        found.append(Offer(model, row["id"], (row["id"],) if offered != row["id"] else ()))
    return found


def public_name(name: str) -> str:
    """Engines started with a file call the model by its path, which is nobody's business: its last part will do."""
    if not name.startswith("/"):
        return name
    path = PurePath(name)
    return path.stem if path.suffix == ".gguf" else path.name
