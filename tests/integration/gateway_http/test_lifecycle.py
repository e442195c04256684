"""POST models/{id}/load and its like: names with slashes, whole answers, and pulls that end in so many words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_server import running_edge
from support.raw_http import ask, assert_envelope, request

PULL = b'{"model":"mistral","backend":"box"}'


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("path", ["org/model:tag", "org%2Fmodel%3Atag"])
@pytest.mark.parametrize(("what", "state"), [("load", "loaded"), ("unload", "unloaded")])
async def test_loading_and_unloading(prefix: str, path: str, what: str, state: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", f"{prefix}/models/{path}/{what}?backend=two"))
        assert edge.pipeline.lifecycle.asked == [(what, "anonymous", "org/model:tag", "two")]
    assert answer.status == 200
    memory = {"memory_bytes": 42} if what == "load" else {}
    assert answer.json == {
        "id": "org/model:tag",
        "object": "model",
        "backend": "two",
        "instance": "node/adapter/one",
        "state": state,
        **memory,
    }


async def test_deleting() -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("DELETE", "/v1/models/org/model:tag"))
        assert edge.pipeline.lifecycle.asked == [("delete", "anonymous", "org/model:tag", "")]
    assert (answer.status, answer.json["deleted"], answer.json["backend"]) == (200, True, "box")


async def test_a_model_may_be_called_load() -> None:
    async with running_edge() as edge:
        edge.pipeline.rows[0].id = "org/load"
        assert (await ask(edge.port, request("GET", "/v1/models/org/load"))).json["id"] == "org/load"
        await ask(edge.port, request("POST", "/v1/models/org/load/load"))
        await ask(edge.port, request("DELETE", "/v1/models/load"))
        assert [(what, model) for what, _, model, _ in edge.pipeline.lifecycle.asked] == [
            ("load", "org/load"),
            ("delete", "load"),
        ]


@pytest.mark.parametrize("path", ["m", "load", "m/reload", "/load"])
async def test_what_is_no_action(path: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", f"/v1/models/{path}"))
        assert_envelope(answer, 404, "unknown_url")
        assert edge.pipeline.lifecycle.asked == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/models/m/load", b""),
        ("POST", "/v1/models/m/unload", b""),
        ("DELETE", "/v1/models/m", b""),
        ("POST", "/v1/models/pull", PULL),
    ],
)
async def test_strangers_may_nothing(method: str, path: str, body: bytes) -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {"nx_test_good"}
        assert_envelope(await ask(edge.port, request(method, path, body)), 401, "invalid_api_key")
        assert edge.pipeline.lifecycle.asked == []


async def test_a_failure_is_a_true_status() -> None:
    async with running_edge() as edge:
        edge.pipeline.lifecycle.failure = MeshError(Reason.OVERLOAD, "no room", retry_after=40)
        answer = await ask(edge.port, request("POST", "/v1/models/m/load"))
        assert_envelope(answer, 503, "overloaded")
        assert answer.headers["retry-after"] == "40"


async def test_a_pull_ends_with_done() -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", "/v1/models/pull", PULL))
        assert edge.pipeline.lifecycle.asked == [("pull", "anonymous", "mistral", "box")]
    events = frames(answer.body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [event if event == "[DONE]" else event["object"] for event in events] == [
        "model.pull.progress",
        "model.pull.progress",
        "model.pull.done",
        "[DONE]",
    ]
    assert (events[1]["phase"], events[1]["done_bytes"], events[1]["total_bytes"]) == ("pulling abc", 1, 2)


async def test_a_pull_that_fails_ends_with_the_error() -> None:
    async with running_edge() as edge:
        edge.pipeline.lifecycle.failure = MeshError(Reason.BACKEND_LOST, "cut")
        answer = await ask(edge.port, request("POST", "/v1/models/pull", PULL))
        *_, last = frames(answer.body)
        assert answer.status == 200
        assert last["error"] == {
            "message": "cut",
            "type": "server_error",
            "param": None,
            "code": "stream_interrupted",
            "docs": "docs/troubleshooting.md#stream_interrupted",
        }
        edge.pipeline.lifecycle.steps = 0
        assert (await ask(edge.port, request("POST", "/v1/models/pull", PULL))).status == 502


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"model":1}', b'{"model":"m","backend":2}', b'{"model":"m","insecure":true}'],
)
async def test_what_is_no_pull(body: bytes) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", "/v1/models/pull", body))
        assert answer.status == 400
        assert edge.pipeline.lifecycle.asked == []


def frames(body: bytes) -> list[Any]:
    *events, rest = body.split(b"\n\n")
    assert rest == b""
    data = [event.removeprefix(b"data: ") for event in events]
    return ["[DONE]" if one == b"[DONE]" else json.loads(one) for one in data]
