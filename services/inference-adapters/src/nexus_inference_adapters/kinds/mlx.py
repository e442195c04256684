"""The adapter for mlx-lm's server, which trusts its clients with everything: types, names, unknown parameters."""

from __future__ import annotations

from typing import Any, ClassVar

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

from nexus_inference_adapters.contract import Http, Inspection, Offer, Seen, Work
from nexus_inference_adapters.openai import (
    OpenAICompatible,
    check,
    check_forwarded,
    public_name,
    set_parameters,
    wants_tools,
)
from nexus_inference_adapters.vocabulary import capabilities_named, operations_named

__all__ = ["Mlx"]

DEFAULT_MODEL = "default_model"
"""The name under which the server answers with the model it was started with, and loads no other."""
OPERATIONS = ("chat", "completion")
CAPABILITIES = ("reasoning",)
UNSUPPORTED = frozenset({
    "n", "best_of", "echo", "suffix", "logprobs", "top_logprobs", "tool_choice",
    "response_format", "functions", "function_call", "modalities", "audio", "web_search_options",
})  # fmt: skip
REPLACED = frozenset(
    {
        "stream",
        "stream_options",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "adapters",
        "draft_model",
    }
)
NUMBERS: dict[str, type[int] | type[float]] = {
    "temperature": float,
    "top_p": float,
    "min_p": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "repetition_penalty": float,
    "xtc_probability": float,
    "xtc_threshold": float,
    "top_k": int,
    "max_tokens": int,
    "max_completion_tokens": int,
    "repetition_context_size": int,
    "seed": int,
}
OFF: dict[str, int | None] = {"top_k": 0, "seed": None, "max_tokens": None, "max_completion_tokens": None}
"""What other engines mean by -1: it fails, or refuses."""
ONE_MODEL_CAPACITY = 8
"""Requests for one model are batched; for several, each change of model drops the one in memory."""


class Mlx(OpenAICompatible):
    """Sends only names that load nothing new, and only parameters of the right type."""

    kind: ClassVar[str] = "mlx"
    holds_schemas: ClassVar[bool] = False

    @property
    def engine(self) -> str:
        return "mlx"

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        """mlx-lm's server is Python's http.server, names no owner of its models, and has a health check."""
        plain = listing.status == 200 and listing.headers.get("Server", "").startswith("BaseHTTP")
        if not plain or any("owned_by" in row for row in listing.rows("data")):
            return None
        return "mlx" if (await http.look("GET", "/health")).dig("status") in ("ok", "unavailable") else None

    instead: ClassVar[str] = "Start mlx_lm.server with the model you want; stopping it frees its memory."

    async def inspect(self) -> Inspection:
        health = await self.http.look("GET", "/health")
        if health.status != 200:
            return Inspection(instance_pb2.STATE_UNHEALTHY, "The server's generation thread is not running.")
        listed = await self.http.look("GET", "/v1/models")
        names = [row["id"] for row in listed.rows("data") if isinstance(row.get("id"), str)]
        offers = [self._offer(offered, name) for offered, name in self._admitted(names).items()]
        if not offers:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It does not say what it has loaded; name it in `models`."
            )
        capacity = ONE_MODEL_CAPACITY if len(offers) == 1 else 1
        return Inspection(instance_pb2.STATE_ACTIVE, offers=offers, capacity=capacity)

    def request(self, work: Work, *, stream: bool) -> dict[str, Any]:
        given = set_parameters(check_forwarded(self.engine, work.body, work.granted))
        check(given, UNSUPPORTED, "mlx-lm")
        body = {name: value for name, value in given.items() if name not in REPLACED}
        for name in NUMBERS.keys() & body.keys():
            body[name] = _cast(name, body[name])
        for name in OFF.keys() & body.keys():
            if body[name] < 0:
                body[name] = OFF[name]
        body = set_parameters(body)
        body["model"] = work.model
        if not wants_tools(given):
            body.pop("tools", None)
        if (limit := spec_of(work.operation).most(body)) is not None:
            body["max_tokens"] = limit
        return body if stream else {**body, "stream": False}

    def streams_only(self, work: Work) -> bool:  # noqa: ARG002 - of every request
        return True

    def judge(self, error: MeshError) -> MeshError:
        if error.metadata.get("upstream_status") != "404":
            return error
        # Its answer to every failure to load a model or to render a prompt.
        return MeshError(
            Reason.UPSTREAM_ERROR,
            "mlx-lm could not load the model or render the prompt.",
            metadata=error.metadata,
        )

    def _admitted(self, names: list[str]) -> dict[str, str]:
        """Offered name -> name to send. The list holds the whole Hub cache; a path in it is what was started."""
        started = [name for name in names if name.startswith("/")]
        if self.config.models:
            own = {public_name(name) for name in started} | set(started)
            return {name: DEFAULT_MODEL if name in own else name for name in self.config.models}
        if started:
            return {public_name(started[-1]): DEFAULT_MODEL}
        return {name: name for name in names}

    def _offer(self, offered: str, name: str) -> Offer:
        can = self.config.capabilities
        model = model_pb2.Model(
            id=offered,
            operations=operations_named(self.config.operations or OPERATIONS),
            capabilities=capabilities_named(CAPABILITIES if can is None else can),
            context_tokens=self.config.context_tokens or 0,
            loaded=name == DEFAULT_MODEL,
        )
        return Offer(model, name)


def _cast(name: str, value: Any) -> int | float:
    wanted = NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or wanted(value) != value:
        raise MeshError(
            Reason.INVALID_REQUEST, f"{name!r} must be {'an integer' if wanted is int else 'a number'}.",
            metadata={"param": name},
        )  # fmt: skip
    return wanted(value)
