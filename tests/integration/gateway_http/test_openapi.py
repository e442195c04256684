"""What a running edge answers is what its /openapi.json says."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from nexus_gateway.http.options import EdgeOptions
from nexus_operations import Operation
from support.edge_server import Edge, running_edge
from support.raw_http import ask, chat, request
from support.routing_targets import model

CHAT = "/v1/chat/completions"
CALLS: list[tuple[str, str, str, bytes | None, int]] = [
    ("GET", "/", "/", None, 200),
    ("GET", "/v1/me", "/v1/me", None, 200),
    ("GET", "/v1/models", "/v1/models", None, 200),
    ("GET", "/v1/models/org/model:tag", "/v1/models/{model_id}", None, 200),
    ("GET", "/v1/models/none", "/v1/models/{model_id}", None, 404),
    ("GET", "/v1/metadata", "/v1/metadata", None, 200),
    ("GET", "/v1/metadata/org/model:tag", "/v1/metadata/{model_id}", None, 200),
    ("GET", "/v1/metadata/org/model:tag/chat", "/v1/metadata/{model_id}/{operation}", None, 200),
    ("GET", "/v1/metadata/org/model:tag/speech", "/v1/metadata/{model_id}/{operation}", None, 404),
    ("POST", CHAT, CHAT, chat(), 200),
    ("POST", CHAT, CHAT, chat(n=3), 200),
    ("POST", CHAT, CHAT, chat(messages=[]), 400),
    ("POST", "/v1/completions", "/v1/completions", b'{"model":"m","prompt":"hi"}', 200),
    ("POST", "/v1/embeddings", "/v1/embeddings", b'{"model":"m","input":["a","b"]}', 200),
    (
        "POST",
        "/v1/embeddings",
        "/v1/embeddings",
        b'{"model":"m","input":"a","encoding_format":"base64"}',
        200,
    ),
    ("POST", "/v1/route/explain", "/v1/route/explain", chat(), 200),
    ("POST", "/v1/models/org/m/load", "/v1/models/{model_id}/load", b"", 200),
    ("POST", "/v1/models/org/m/unload", "/v1/models/{model_id}/unload", b"", 200),
    ("DELETE", "/v1/models/org/m", "/v1/models/{model_id}", None, 200),
    ("GET", "/health", "/health", None, 200),
    ("GET", "/readyz", "/readyz", None, 200),
]


async def described(edge: Edge) -> dict[str, Any]:
    answer = await ask(edge.port, request("GET", "/openapi.json"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return answer.json


@pytest.mark.parametrize(("method", "url", "path", "body", "status"), CALLS)
async def test_an_answer_is_as_it_is_described(
    method: str, url: str, path: str, body: bytes | None, status: int
) -> None:
    async with running_edge() as edge:
        told = await described(edge)
        edge.pipeline.offered = {"org/model:tag": {Operation.CHAT: (model("org/model:tag", context=4096),)}}
        answer = await ask(edge.port, request(method, url, body))
        assert answer.status == status
        operation = told["paths"][path][method.lower()]
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = told["components"]["responses"][str(status)]
        schema = response["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, "components": told["components"]}).validate(answer.json)
        ours = {name for name in answer.headers if name.startswith(("x-nexus", "x-request", "openai"))}
        assert ours
        assert ours <= response["headers"].keys()


async def test_it_is_told_to_whoever_asks() -> None:
    """As the same document: nothing in it depends on the mesh behind."""
    async with running_edge(EdgeOptions(needs_key=True)) as edge:
        edge.pipeline.keys = {"secret"}
        before = await described(edge)
        edge.pipeline.rows = []
        assert await described(edge) == before
        head = await ask(edge.port, request("GET", "/openapi.json", headers=["Authorization: Bearer wrong"]))
        assert head.status == 200
