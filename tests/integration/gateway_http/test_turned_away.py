"""Requests that never get to the pipeline are counted as what they are, each once."""

from __future__ import annotations

import pytest
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_pipeline import KEY
from support.edge_server import running_edge
from support.raw_http import ask, chat, request

CHAT = model_pb2.OPERATION_CHAT


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        ("wrong", chat(), Reason.CALLER_KEY),
        (KEY, chat(temperature="hot"), Reason.INVALID_REQUEST),
        (KEY, chat(api_base="elsewhere"), Reason.UNSUPPORTED_PARAMETER),
    ],
)
async def test_who_is_turned_away_is_counted(key: str, body: bytes, reason: Reason) -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {KEY}
        headers = [f"Authorization: Bearer {key}"]
        await ask(edge.port, request("POST", "/v1/chat/completions", body, headers))
        assert edge.pipeline.requests == []
        assert edge.pipeline.turned_away == [(CHAT, reason)]


async def test_what_the_pipeline_has_is_its_own_to_count() -> None:
    async with running_edge() as edge:
        edge.pipeline.failure = MeshError(Reason.BACKEND_DOWN, "nobody is there")
        await ask(edge.port, request("POST", "/v1/chat/completions", chat()))
        assert edge.pipeline.turned_away == []


async def test_what_asks_for_no_answer_is_no_request() -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {KEY}
        await ask(edge.port, request("GET", "/v1/models"))
        assert edge.pipeline.turned_away == []
