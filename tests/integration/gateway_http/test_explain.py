"""POST /v1/route/explain: the body of a real request in, everybody's fate out, and nothing is run."""

from __future__ import annotations

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import Principal
from nexus_gateway.http.options import EdgeOptions
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_server import running_edge
from support.raw_http import ask, chat, request

SHAPES: dict[int, bytes] = {
    model_pb2.OPERATION_CHAT: chat(),
    model_pb2.OPERATION_COMPLETION: b'{"model":"m","prompt":"hi"}',
    model_pb2.OPERATION_EMBEDDING: b'{"model":"m","input":"hi"}',
    model_pb2.OPERATION_IMAGE: b'{"model":"m","prompt":"hi","size":"auto"}',
    model_pb2.OPERATION_VIDEO: b'{"model":"m","prompt":"hi","seconds":"4"}',
}


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("operation", SHAPES)
async def test_any_request_is_explained_by_its_own_body(operation: int, prefix: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", f"{prefix}/route/explain", SHAPES[operation]))
        (asked,) = edge.pipeline.requests
    assert asked.operation == operation
    assert answer.status == 200
    assert answer.json == {
        "object": "route.explanation",
        "model": "m",
        "resolved_model": "served-model",
        "zones": ["restricted"],
        "scrubbed": False,
        "tier": "standard",
        "candidates": [
            {
                "backend": "box",
                "backend_type": "fake",
                "instance": "box-node/adapter/a",
                "zone": "restricted",
                "model": "served-model",
                "rank": 1,
                "stage": None,
                "reason": "best",
            },
            {
                "backend": "cloud",
                "backend_type": "fake",
                "instance": "cloud-node/adapter/a",
                "zone": "open",
                "model": "served-model",
                "rank": 0,
                "stage": "zone",
                "reason": "is in zone open, not restricted",
            },
        ],
        "tokens": {"prompt": 7, "estimated": False, "method": "fake"},
    }
    assert edge.pipeline.explained_with == 7


async def test_an_estimate_is_told_as_one_and_decides_nothing() -> None:
    async with running_edge() as edge:
        edge.pipeline.counted.estimated = True
        answer = await ask(edge.port, request("POST", "/v1/route/explain", chat()))
    assert answer.json["tokens"] == {"prompt": 7, "estimated": True, "method": "fake"}
    assert edge.pipeline.explained_with == 0


async def test_where_nobody_can_serve_nobody_counts() -> None:
    async with running_edge() as edge:
        edge.pipeline.failure = MeshError(Reason.BACKEND_DOWN, "Nobody is there.")
        answer = await ask(edge.port, request("POST", "/v1/route/explain", chat()))
    assert (answer.status, answer.json["tokens"]) == (200, None)


@pytest.mark.parametrize("body", [b'{"model":"m"}', b"[]", b"{"])
async def test_what_is_no_request_is_not_explained(body: bytes) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", "/v1/route/explain", body))
        assert edge.pipeline.requests == []
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_strangers_are_told_nothing() -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {"nx_test_good"}
        answer = await ask(edge.port, request("POST", "/v1/route/explain", chat()))
        assert answer.status == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route/explain"])
async def test_of_two_demands_for_a_zone_none_is_dropped(path: str) -> None:
    async with running_edge() as edge:
        twice = request("POST", path, chat()).replace(
            b"\r\n", b"\r\nX-Nexus-Zone: restricted\r\nX-Nexus-Zone: open\r\n", 1
        )
        answer = await ask(edge.port, twice)
        assert edge.pipeline.requests == []
    assert (answer.status, answer.json["error"]["param"]) == (400, "X-Nexus-Zone")


def of_tenant(name: str) -> Principal:
    return Principal(name, name, tenant=name, zones=frozenset({"restricted"}))


@pytest.mark.security
async def test_a_tenant_is_told_of_its_own_way_only() -> None:
    """A14: how far it would get and with which models; who else there is, and why not there, is the operator's."""
    async with running_edge() as edge:
        edge.pipeline.principal = of_tenant
        answer = await ask(edge.port, request("POST", "/v1/route/explain", chat()))
    assert answer.json == {
        "object": "route.explanation",
        "model": "m",
        "resolved_model": "served-model",
        "zones": ["restricted"],
        "scrubbed": False,
        "tier": None,
        "candidates": [{"model": "served-model", "rank": 1}],
        "tokens": {"prompt": 7, "estimated": False, "method": "fake"},
    }


@pytest.mark.security
@pytest.mark.parametrize("needs_key", [True, False])
async def test_readiness_names_backends_on_an_open_endpoint_only(needs_key: bool) -> None:
    """A14: /readyz asks nobody who they are."""
    async with running_edge(EdgeOptions(needs_key=needs_key)) as edge:
        edge.pipeline.state.ready = False
        edge.pipeline.state.missing = ["no usable model", "backend box on n/adapter/a is unhealthy: why"]
        answer = await ask(edge.port, request("GET", "/readyz"))
        assert answer.status == 503
        assert ("box" in answer.body.decode()) is not needs_key
        assert "no usable model" in answer.json["missing"]
