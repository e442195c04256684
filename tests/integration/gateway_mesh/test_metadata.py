"""GET /v1/metadata of a whole gateway: what backends say of themselves, met, tagged, and told to whom it concerns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import keys_pb2
from support.gateway_bench import GatewayBench
from support.waiting import eventually
from support.whole_gateway import Gateway, gateway

CHAT, SPEECH, IMAGE = model_pb2.OPERATION_CHAT, model_pb2.OPERATION_SPEECH, model_pb2.OPERATION_IMAGE
TOOLS, JSON = model_pb2.CAPABILITY_TOOLS, model_pb2.CAPABILITY_JSON
INSIDE, FREE = "nx_inside", "nx_free"


def says(
    target: snapshot_pb2.Target, operation: model_pb2.Operation, **properties: Any
) -> snapshot_pb2.Target:
    """The target with a closed catalogue of its only model."""
    schema = {"properties": {"input": {}, "response_format": {}, **properties}, "additionalProperties": False}
    target.models[0].parameters.add(operation=operation, schema=json.dumps(schema))
    return target


@asynccontextmanager
async def opened(bench: GatewayBench, **changes: Any) -> AsyncIterator[Gateway]:
    async with gateway(bench, **{"auth": "open", **changes}) as running:
        await eventually(lambda: _is_ready(running), what="the gateway being ready")
        yield running


async def _is_ready(running: Gateway) -> bool:
    return (await get(running, "/readyz")).status == 200


class Told:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def get(running: Gateway, path: str, key: str = "none", **headers: str) -> Told:
    sent = {
        "Authorization": f"Bearer {key}",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    async with (
        aiohttp.ClientSession(headers=sent) as session,
        session.get(f"http://{running.http}{path}") as answer,
    ):
        return Told(answer.status, answer.headers, await answer.read())


async def schema(running: Gateway, path: str, key: str = "none") -> Any:
    told = await get(running, f"/v1/metadata/{path}", key)
    assert told.status == 200, told.body
    return told.json["schema"]


async def test_fleet_model_and_operation_say_the_same(bench: GatewayBench) -> None:
    box = await bench.adapter("one")
    target = box.target(
        "org/m:1", "plain", operations=[CHAT, SPEECH], context=4096, capabilities=[JSON, TOOLS]
    )
    bench.control.router.show(target)
    async with opened(bench) as running:
        fleet = (await get(running, "/v1/metadata")).json
        assert [each["id"] for each in fleet["models"]] == ["org/m:1", "plain"]
        assert fleet["operations"] == [
            {"operation": name, "method": "POST", "path": path, "models": ["org/m:1", "plain"]}
            for name, path in (("chat", "/v1/chat/completions"), ("speech", "/v1/audio/speech"))
        ]
        one = (await get(running, "/v1/metadata/org/m:1")).json
        assert one == fleet["models"][0]
        for path in (
            "/v1/metadata/org/m:1/chat",
            "/metadata/org/m:1?operation=chat",
            "/v1/metadata/org%2Fm:1/chat",
        ):
            assert (await get(running, path)).json == one["operations"][0]
        chat = one["operations"][0]
        assert (chat["path"], chat["content_type"]) == ("/v1/chat/completions", "application/json")
        assert (chat["context_tokens"], chat["capabilities"]) == (4096, ["tools", "json"])
        properties = chat["schema"]["properties"]
        assert properties["model"]["const"] == "org/m:1"
        assert properties["max_tokens"]["maximum"] == 4096
        assert {"tools", "response_format"} <= properties.keys()
        assert not {"logprobs", "n", "tool_choice"} & properties.keys()
        assert properties["temperature"].keys() == {"type", "minimum", "maximum", "description"}
        ui = chat["ui"]
        assert {*ui["order"]} == properties.keys() - {"model"}
        assert [name for group in ui["groups"] for name in group["parameters"]] == ui["order"]
        assert "messages" not in ui["advanced"]
        assert "logit_bias" in ui["advanced"]


async def test_a_name_may_end_as_an_operation_is_called(bench: GatewayBench) -> None:
    box = await bench.adapter("one")
    bench.control.router.show(box.target("org/chat", "org"))
    async with opened(bench) as running:
        assert (await get(running, "/v1/metadata/org/chat")).json["id"] == "org/chat"
        assert (await get(running, "/v1/metadata/org/chat/chat")).json["model"] == "org/chat"
        assert (await get(running, "/v1/metadata/org?operation=chat")).json["model"] == "org"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("none", "model_not_found"),
        ("none/chat", "model_not_found"),
        ("m/speech", "not_found"),
        ("m?operation=dance", "not_found"),
        ("m/dance", "model_not_found"),
    ],
)
async def test_what_there_is_not_is_a_404(bench: GatewayBench, path: str, code: str) -> None:
    box = await bench.adapter("one")
    bench.control.router.show(box.target("m"))
    async with opened(bench) as running:
        told = await get(running, f"/v1/metadata/{path}")
        assert (told.status, told.json["error"]["code"]) == (404, code)


async def test_several_backends_are_told_by_what_all_of_them_take(bench: GatewayBench) -> None:
    boxes = [await bench.adapter("one"), await bench.adapter("two")]
    named = [{"const": name, "title": name.upper()} for name in ("de", "en", "fr")]
    targets = [
        says(
            boxes[0].target("m", operations=[SPEECH]),
            SPEECH,
            voice={"oneOf": named[:2]},
            speed={"type": "number", "minimum": 0.5, "maximum": 2, "default": 1},
            instructions={"type": "string"},
        ),
        says(
            boxes[1].target("m", operations=[SPEECH]),
            SPEECH,
            voice={"oneOf": named[1:]},
            speed={"type": "number", "minimum": 1, "maximum": 4, "default": 1},
        ),
    ]
    bench.control.router.show(*targets)
    async with opened(bench) as running:
        told = (await schema(running, "m/speech"))["properties"]
        assert told["voice"]["oneOf"] == [{"const": "en", "title": "EN"}]
        assert (told["speed"]["minimum"], told["speed"]["maximum"], told["speed"]["default"]) == (1, 2, 1)
        assert told["response_format"]["default"] == "mp3"
        assert {"stream_format"} <= told.keys()
        assert "instructions" not in told


async def test_backends_that_have_nothing_in_common_offer_nothing(bench: GatewayBench) -> None:
    boxes = [await bench.adapter("one"), await bench.adapter("two")]
    bench.control.router.show(
        *(
            says(box.target("m", operations=[SPEECH, CHAT]), SPEECH, voice={"enum": [name]})
            for box, name in zip(boxes, ("de", "en"), strict=True)
        )
    )
    async with opened(bench) as running:
        told = (await get(running, "/v1/metadata/m")).json
        assert [each["operation"] for each in told["operations"]] == ["chat"]


async def test_a_backend_s_nonsense_takes_nothing_from_the_others(bench: GatewayBench) -> None:
    boxes = [await bench.adapter(name) for name in ("one", "two", "three")]
    targets = [says(box.target("m", operations=[SPEECH]), SPEECH, voice={"enum": ["de"]}) for box in boxes]
    targets[1].models[0].parameters[0].schema = "{"
    targets[2].models[0].parameters[0].schema = '{"properties": {"voice": 7}}'
    bench.control.router.show(*targets)
    async with opened(bench) as running:
        assert (await schema(running, "m/speech"))["properties"]["voice"]["enum"] == ["de"]


async def test_a_tag_is_the_same_at_every_gateway_and_whatever_the_order(bench: GatewayBench) -> None:
    boxes = [await bench.adapter("one"), await bench.adapter("two")]
    targets = [
        says(box.target("m", "n", operations=[SPEECH]), SPEECH, voice={"enum": ["de"]}) for box in boxes
    ]
    bench.control.router.show(*targets)
    async with opened(bench) as first:
        before = {
            path: await get(first, path)
            for path in ("/v1/metadata", "/v1/metadata/m", "/v1/metadata/m/speech")
        }
        for path, told in before.items():
            tag = told.headers["etag"]
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await get(first, path, If_None_Match=known)
                assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
                assert "content-length" not in again.headers
            assert (await get(first, path, If_None_Match='"other"')).status == 200
            assert told.headers["cache-control"] == "private, no-cache"
        targets[0].load.active = 3
        bench.control.router.show(*reversed(targets))
        async with opened(bench) as second:
            after = {path: (await get(second, path)).headers["etag"] for path in before}
        assert after == {path: told.headers["etag"] for path, told in before.items()}
        targets[0].models[0].parameters[0].schema = (
            targets[0].models[0].parameters[0].schema.replace("de", "en")
        )
        targets[1].models[0].parameters[0].schema = targets[0].models[0].parameters[0].schema
        bench.control.router.show(*targets)
        await eventually(
            lambda: _differs(first, before["/v1/metadata"].headers["etag"]),
            what="another tag for another voice",
        )


async def _differs(running: Gateway, tag: str) -> bool:
    return (await get(running, "/v1/metadata")).headers["etag"] != tag


@pytest.mark.security
async def test_a_caller_is_told_of_the_backends_it_may_use_alone(bench: GatewayBench) -> None:
    """Neither a model, nor an operation, nor what some backend outside its zone takes or can."""
    inside, outside = (
        await bench.adapter("inside", zone="restricted"),
        await bench.adapter("outside", zone="open"),
    )
    near = inside.target("m", operations=[SPEECH], context=100)
    far = outside.target("m", "secret", operations=[SPEECH, CHAT], context=9000, capabilities=[TOOLS])
    says(near, SPEECH, voice={"enum": ["de", "en"]})
    says(far, SPEECH, voice={"enum": ["en", "hidden"]})
    bench.control.vault.keys[INSIDE] = keys_pb2.Key(id="k1", name="ward", tenant="default", zone="restricted")
    bench.control.vault.keys[FREE] = keys_pb2.Key(id="k2", name="free", tenant="default")
    bench.control.vault.keys["nx_boss"] = keys_pb2.Key(
        id="k3", name="boss", tenant="default", zone="restricted", manage=True
    )
    bench.control.router.show(near, far)
    async with opened(bench, auth="keys") as running:
        for key in (INSIDE, "nx_boss"):
            fleet = await get(running, "/v1/metadata", key)
            assert [each["id"] for each in fleet.json["models"]] == ["m"]
            assert [each["operation"] for each in fleet.json["models"][0]["operations"]] == ["speech"]
            for word in (b"hidden", b"secret", b"9000", b"tools", b'"chat"'):
                assert word not in fleet.body
            assert (await schema(running, "m/speech", key))["properties"]["voice"]["enum"] == ["de", "en"]
            assert (await get(running, "/v1/metadata/m/chat", key)).status == 404
        assert (await get(running, "/v1/metadata/secret", INSIDE)).status == 404
        free = (await get(running, "/v1/metadata", FREE)).json
        assert {each["id"] for each in free["models"]} == {"secret", "m"}
        assert (await schema(running, "m/speech", FREE))["properties"]["voice"]["enum"] == ["en"]
        assert (await get(running, "/v1/metadata", "nx_unknown")).status == 401
