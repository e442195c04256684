"""GET /v1/me: who am I, what may I, what is left."""

from __future__ import annotations

import time

import pytest
from nexus_gateway.access import Principal
from nexus_gateway.http.options import MIB, EdgeOptions, Limits
from support.edge_server import Edge, running_edge
from support.raw_http import RawConnection, ask, assert_envelope, request
from support.waiting import eventually

BODY = 50_000
BEARER = ["Authorization: Bearer secret"]


async def me(edge: Edge) -> dict[str, object]:
    answer = await ask(edge.port, request("GET", "/v1/me", headers=BEARER))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json


async def test_a_key_is_told_who_it_is_and_what_it_may() -> None:
    limits = Limits(bodies_bytes=64 * MIB, tenant_share=0.5)
    async with running_edge(EdgeOptions(needs_key=True, limits=limits)) as edge:
        edge.pipeline.keys = {"secret"}
        edge.pipeline.principal = lambda _: Principal(
            "abcdefghijkl", "ward", "clinic", 3, frozenset({"restricted", "health"})
        )
        assert await me(edge) == {
            "object": "me",
            "id": "abcdefghijkl",
            "name": "ward",
            "tenant": "clinic",
            "zones": ["health", "restricted"],
            "may": {"manage_models": False, "see_all": False},
            "models": ["llama3.1:70b", "org/model:tag"],
            "left": {"seconds": None, "body_bytes": 32 * MIB},
        }


async def test_it_is_asked_by_either_prefix() -> None:
    async with running_edge() as edge:
        for path in ("/me", "/v1/me"):
            assert (await ask(edge.port, request("GET", path))).json["object"] == "me"


async def test_on_an_open_endpoint_anybody_is_anonymous_and_may_manage() -> None:
    async with running_edge() as edge:
        told = (await ask(edge.port, request("GET", "/v1/me"))).json
        assert (told["id"], told["may"]) == ("anonymous", {"manage_models": True, "see_all": True})


async def test_a_key_that_ends_is_told_when() -> None:
    async with running_edge() as edge:
        edge.pipeline.principal = lambda _: Principal("k", "k", expires_at=time.time() + 3600)
        left = (await me(edge))["left"]
        assert isinstance(left, dict)
        assert 3500 < left["seconds"] <= 3600


async def test_what_its_own_bodies_hold_is_no_more_left() -> None:
    """And not what others hold: their load is nobody else's business."""
    limits = Limits(bodies_bytes=64 * MIB, tenant_share=0.5)
    async with running_edge(EdgeOptions(limits=limits)) as edge:
        edge.pipeline.principal = lambda name: Principal(name, name, "ours" if name == "secret" else "theirs")
        head = request(headers=[f"Content-Length: {BODY}", "Content-Type: application/json"])
        async with RawConnection(edge.port) as theirs, RawConnection(edge.port) as ours:
            theirs.send(head)
            await until_held(edge, BODY)
            assert (await me(edge))["left"] == {"seconds": None, "body_bytes": 32 * MIB}
            ours.send(request(headers=[*BEARER, f"Content-Length: {BODY}", "Content-Type: application/json"]))
            await until_held(edge, 2 * BODY)
            assert (await me(edge))["left"] == {"seconds": None, "body_bytes": 32 * MIB - BODY}


async def until_held(edge: Edge, size: int) -> None:
    line = f"nexus_gateway_http_body_bytes {float(size)}\n".encode()

    async def held() -> bool:
        return line in (await ask(edge.port, request("GET", "/metrics"))).body

    await eventually(held, 10, f"{size} bytes held")


@pytest.mark.security
async def test_without_a_good_key_it_says_nothing() -> None:
    async with running_edge(EdgeOptions(needs_key=True)) as edge:
        edge.pipeline.keys = {"other"}
        assert_envelope(
            await ask(edge.port, request("GET", "/v1/me", headers=BEARER)), 401, "invalid_api_key"
        )
        assert_envelope(await ask(edge.port, request("GET", "/v1/me")), 401, "invalid_api_key")
