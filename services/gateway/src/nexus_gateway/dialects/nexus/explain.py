"""POST route/explain: where a request would go, and why not elsewhere. Nothing is run, nothing is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import SPECS
from nexus_routing import Explanation

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.own_headers import check_own_headers, demanded_zone
from nexus_gateway.http import Exchange, Handler, check_media_type
from nexus_gateway.intake import Intake
from nexus_gateway.validation import CHECKS, check_request

__all__ = ["Candidate", "Explains", "PromptTokens", "RouteExplanation", "explain_handler"]

SHAPES = sorted(
    (SPECS[number] for number in CHECKS if not SPECS[number].files), key=lambda spec: -len(spec.example(""))
)
"""Kinds of work that a body may be meant for: what the least body of one has tells which, the fuller ones first."""


class Explains(Protocol):
    """The part of the pipeline this route uses."""

    async def count(self, request: InferenceRequest) -> inference_pb2.CountTokensResponse: ...

    async def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation: ...


class Candidate(Struct):
    """`rank` from 1 in the order of trying; 0 = refused at `stage`. Without what only some may see: model and rank."""

    model: str | None
    rank: int
    backend: str | UnsetType = UNSET
    backend_type: str | UnsetType = UNSET
    instance: str | UnsetType = UNSET
    zone: str | UnsetType = UNSET
    stage: str | UnsetType | None = UNSET
    reason: str | UnsetType = UNSET


class PromptTokens(Struct):
    """`estimated`: not counted by the model's own tokenizer."""

    prompt: int
    estimated: bool
    method: str


class RouteExplanation(Struct):
    """`tokens` null = nobody could count."""

    model: str
    resolved_model: str | None
    zones: list[str]
    scrubbed: bool
    tier: str | None
    candidates: list[Candidate]
    tokens: PromptTokens | None = None
    object: str = "route.explanation"


def explain_handler(pipeline: Explains, intake: Intake) -> Handler:
    """Takes the very body that would be sent to an inference endpoint."""

    async def handle(exchange: Exchange) -> None:
        check_media_type(exchange.fields)
        check_own_headers(exchange.fields)

        def check(parsed: JsonObject, size: int) -> InferenceRequest:
            return check_request(
                _operation(parsed),
                parsed,
                size=size,
                request_id=exchange.request_id,
                principal=exchange.caller,
                fetches=intake.fetches,
            )

        request = await intake.read(await exchange.body(), check)
        request.zone = demanded_zone(exchange)
        counted = await _count(pipeline, request)
        known = counted.prompt_tokens if counted is not None and not counted.estimated else 0
        explanation = await pipeline.explain(request, known)
        answer = _answer(request, explanation) if exchange.may_see_all else _own_answer(request, explanation)
        answer.tokens = _tokens(counted)
        await exchange.respond(200, msgspec.json.encode(answer))

    return handle


async def _count(pipeline: Explains, request: InferenceRequest) -> inference_pb2.CountTokensResponse | None:
    """None when nobody can serve the request: then nobody has counted. Nor has anybody what is not fetched."""
    if request.links:
        return None
    try:
        return await pipeline.count(request)
    except MeshError:
        return None


def _tokens(counted: inference_pb2.CountTokensResponse | None) -> PromptTokens | None:
    if counted is None:
        return None
    return PromptTokens(counted.prompt_tokens, counted.estimated, counted.method)


def _operation(given: JsonObject) -> int:
    for spec in SHAPES:
        if given.keys() >= spec.example("").keys():
            return spec.number
    titles = _or(spec.title for spec in SHAPES)
    keys = _or(dict.fromkeys(" and ".join(spec.example("")) for spec in reversed(SHAPES)))
    raise MeshError(Reason.INVALID_REQUEST, f"Send the body of {titles}: with {keys}.")


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _own_answer(request: InferenceRequest, explanation: Explanation) -> RouteExplanation:
    """For who may only know of what it can use: how many would be tried with which models, and its own demands."""
    return RouteExplanation(
        model=request.model,
        resolved_model=explanation.model,
        zones=sorted(request.zones),
        scrubbed=explanation.scrubbed,
        tier=None,
        candidates=[
            Candidate(verdict.model or None, verdict.rank) for verdict in explanation.verdicts if verdict.rank
        ],
    )


def _answer(request: InferenceRequest, explanation: Explanation) -> RouteExplanation:
    return RouteExplanation(
        model=request.model,
        resolved_model=explanation.model,
        zones=sorted(explanation.zones),
        scrubbed=explanation.scrubbed,
        tier=explanation.tier or None,
        candidates=[
            Candidate(
                verdict.model or None,
                verdict.rank,
                backend=verdict.target.backend,
                backend_type=verdict.target.kind,
                instance=verdict.target.instance,
                zone=verdict.target.zone,
                stage=verdict.stage or None,
                reason=verdict.reason,
            )
            for verdict in explanation.verdicts
        ],
    )
