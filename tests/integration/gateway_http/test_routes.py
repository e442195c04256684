"""Every URL of the edge, and those it does not have; who may call, under which name, with what kind of body."""

from __future__ import annotations

import pytest
from nexus_gateway.core.priority import Priority
from nexus_gateway.http.options import EdgeOptions
from support.edge_server import running_edge
from support.raw_http import RawConnection, ask, assert_envelope, assert_serves, chat, request

GOOD = chat()
BODIES = {
    "/chat/completions": GOOD,
    "/completions": b'{"model":"m","prompt":"hi"}',
    "/embeddings": b'{"model":"m","input":"hi"}',
}


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_every_url_with_and_without_its_prefix(prefix: str) -> None:
    async with running_edge() as edge:
        for path, body in BODIES.items():
            assert (await ask(edge.port, request("POST", prefix + path, body))).status == 200
        assert (await ask(edge.port, request("GET", prefix + "/models"))).json["object"] == "list"


@pytest.mark.parametrize("path", ["org/model:tag", "org%2Fmodel%3Atag", "org%2fmodel:tag"])
async def test_model_names_are_decoded(path: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("GET", f"/v1/models/{path}"))
        assert answer.json == {
            "id": "org/model:tag",
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": "nexus",
        }


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "m" * 4000, "gpt-4%00", "http://x", "%D0%BC", "%FF", "m/"]
)
async def test_models_that_are_not_there(path: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("GET", f"/v1/models/{path}"))
        assert_envelope(answer, 404, "model_not_found", "model")


@pytest.mark.parametrize(
    "path",
    ["/v2/models", "/v1/v1/models", "/v1/audio/nothing", "/V1/models",
     "/v1/healthz", "/v1/chat%2Fcompletions/x", "/docs", "/v1/openapi.json"],
)  # fmt: skip
async def test_urls_that_are_not_there(path: str) -> None:
    async with running_edge() as edge:
        for method in ("GET", "POST", "DELETE"):
            assert_envelope(await ask(edge.port, request(method, path)), 404, "unknown_url")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("OPTIONS", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/v1/models/llama3.1:70b", "GET, HEAD, POST, DELETE"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_methods_that_are_not_allowed(method: str, path: str, allow: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request(method, path))
        assert_envelope(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow


async def test_health_readiness_and_metrics() -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = set()
        assert (await ask(edge.port, request("GET", "/healthz"))).status == 200
        assert (await ask(edge.port, request("GET", "/readyz"))).json == {"ready": True, "missing": []}
        edge.pipeline.state.ready, edge.pipeline.state.missing = False, ["a routing snapshot"]
        answer = await ask(edge.port, request("GET", "/readyz"))
        assert (answer.status, answer.json) == (503, {"ready": False, "missing": ["a routing snapshot"]})
        assert (await ask(edge.port, request("GET", "/healthz"))).status == 200
        for alias in ("/health", "/livez"):
            assert (await ask(edge.port, request("GET", alias))).json == {"status": "ok"}
        metrics = await ask(edge.port, request("GET", "/metrics"))
        assert b'nexus_gateway_http_requests_total{route="readyz",status="503"}' in metrics.body
        assert metrics.headers["content-type"].startswith("text/plain")


async def test_metrics_can_be_kept_off_this_port() -> None:
    async with running_edge(EdgeOptions(expose_metrics=False)) as edge:
        assert_envelope(await ask(edge.port, request("GET", "/metrics")), 404, "unknown_url")


async def test_head_has_the_head_of_get() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(request("HEAD", "/v1/models") + request("GET", "/healthz"))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert (await connection.answer()).json == {"status": "ok"}


TYPES = [
    "text/plain",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "json",
    "multipart/form-data",
]


@pytest.mark.parametrize("given", [None, "", *TYPES])
async def test_bodies_that_are_not_json_by_name(given: str | None) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request(body=GOOD, content_type=given))
        assert_envelope(answer, 415, "unsupported_media_type")
        assert not edge.pipeline.requests


@pytest.mark.parametrize(
    "given",
    ["application/json; charset=utf-8", "application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"',
     "application/json; boundary=x"],
)  # fmt: skip
async def test_bodies_that_are(given: str) -> None:
    async with running_edge() as edge:
        assert (await ask(edge.port, request(body=GOOD, content_type=given))).status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, gzip"])
async def test_compressed_bodies_are_not_taken(coding: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request(body=GOOD, headers=[f"Content-Encoding: {coding}"]))
        assert_envelope(answer, 415, "unsupported_encoding")


AUTHORIZATIONS = {
    "none": [],
    "basic": ["Authorization: Basic c2VjcmV0"],
    "empty": ["Authorization: Bearer "],
    "no scheme": ["Authorization: secret"],
    "wrong": ["Authorization: Bearer Secret"],
    "hop by hop": ["Connection: authorization"],
}


@pytest.mark.parametrize("name", AUTHORIZATIONS)
async def test_without_a_good_key_nothing_is_read(name: str) -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {"secret"}
        for path, body in BODIES.items():
            answer = await ask(
                edge.port, request("POST", path + "?api_key=secret", body, AUTHORIZATIONS[name])
            )
            assert_envelope(answer, 401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"
        answer = await ask(edge.port, request("GET", "/v1/models", headers=AUTHORIZATIONS[name]))
        assert_envelope(answer, 401, "invalid_api_key")
        assert not edge.pipeline.requests


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_good_key(scheme: str) -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {"secret"}
        answer = await ask(edge.port, request(body=GOOD, headers=[f"Authorization: {scheme} secret"]))
        assert answer.status == 200


async def test_unknown_parameters_are_refused_on_demand_only() -> None:
    async with running_edge() as edge:
        body = chat(top_k=40, temperature=0)
        assert (await ask(edge.port, request(body=body))).status == 200
        answer = await ask(edge.port, request(body=body, headers=["X-Nexus-Strict: 1"]))
        assert_envelope(answer, 400, "unknown_parameter", "top_k")


@pytest.mark.parametrize(
    ("headers", "priority"),
    [
        ([], Priority.NORMAL),
        (["X-Nexus-Priority: low"], Priority.LOW),
        (["x-nexus-priority:  Normal "], Priority.NORMAL),
        (["X-Nexus-Priority:"], Priority.NORMAL),
    ],
)
async def test_a_client_may_let_others_go_first(headers: list[str], priority: Priority) -> None:
    async with running_edge() as edge:
        assert (await ask(edge.port, request(body=GOOD, headers=headers))).status == 200
        assert edge.pipeline.requests[-1].priority is priority


@pytest.mark.parametrize("given", ["high", "3", "urgent", "low, low"])
async def test_a_client_cannot_put_itself_first(given: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request(body=GOOD, headers=[f"X-Nexus-Priority: {given}"]))
        assert_envelope(answer, 400, "invalid_value", "X-Nexus-Priority")
        assert edge.pipeline.requests == []


async def test_two_priorities_are_none() -> None:
    async with running_edge() as edge:
        headers = ["X-Nexus-Priority: low", "X-Nexus-Priority: normal"]
        answer = await ask(edge.port, request(body=GOOD, headers=headers))
        assert_envelope(answer, 400, "invalid_value", "X-Nexus-Priority")


BAD_BODIES = {
    "empty": (b"", "invalid_json"),
    "cut": (b'{"model":', "invalid_json"),
    "bad utf-8": (b'{"model":"\xff"}', "invalid_utf8"),
    "array": (b"[1]", "invalid_type"),
    "NaN": (b'{"temperature":NaN}', "invalid_number"),
    "deep": (b"[" * 100_000, "too_deep"),
    "complex": (b'{"a":[' + b"{}," * 100_000 + b"1]}", "too_complex"),
}


async def test_bad_bodies_over_http_leave_the_connection_usable() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        for body, code in BAD_BODIES.values():
            connection.send(request(body=body))
            assert_envelope(await connection.answer(), 400, code)
            connection.send(request(body=GOOD))
            assert (await connection.answer()).status == 200
        connection.send(request(body=chat(messages=[{"role": "user", "content": 5}])))
        assert_envelope(await connection.answer(), 400, "invalid_type", "messages[0].content")
        await assert_serves(edge.port)
