"""Several prompts in one text completion, where the only backend takes one at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.core.errors import MeshError, Reason
from support.gateway_bench import GatewayBench

COMPLETION = model_pb2.OPERATION_COMPLETION


def asked(**fields: Any) -> InferenceRequest:
    body = json.dumps({"model": "m", "prompt": ["one", "two", "three"], **fields}).encode()
    return parse_request(COMPLETION, body, request_id="req_1", principal=ANONYMOUS)


@pytest.mark.parametrize("can", [(), (model_pb2.CAPABILITY_CHOICES,)])
async def test_each_prompt_is_run_and_the_choices_are_numbered_through(
    bench: GatewayBench, can: tuple[model_pb2.Capability, ...]
) -> None:
    """D13: one by one where the backend takes one only, all at once where it takes them all."""
    box = await bench.adapter("box")
    await bench.start(box.target(operations=[COMPLETION], capabilities=can))
    answer = await bench.pipeline.complete(asked(echo=True))
    sent = [json.loads(envelope.body)["prompt"] for envelope in box.seen]
    if can:
        assert sent == [["one", "two", "three"]]
        return
    assert sent == ["one", "two", "three"]
    assert all(json.loads(envelope.body)["echo"] for envelope in box.seen)
    assert [envelope.request_id for envelope in box.seen] == ["req_1-0", "req_1-1", "req_1-2"]
    body = json.loads(answer.body)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert answer.served.backend == "box"
    assert answer.usage.completion_tokens == 3 * 3
    assert body["usage"]["total_tokens"] == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_failure_of_one_is_the_failure_of_all(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(operations=[COMPLETION]))
    box.mode, box.reason = "fail", Reason.INVALID_REQUEST
    with pytest.raises(MeshError) as caught:
        await bench.pipeline.complete(asked())
    assert (caught.value.reason, len(box.seen)) == (Reason.INVALID_REQUEST, 1)


@pytest.mark.parametrize(
    ("fields", "stream", "param"),
    [({}, True, "prompt"), ({"n": 2}, False, "n"), ({"prompt": "one", "n": 2}, False, "n")],
)
async def test_what_cannot_be_done_one_by_one_names_what_was_sent(
    bench: GatewayBench, fields: dict[str, Any], stream: bool, param: str
) -> None:
    """D13: never `n` when nobody sent it."""
    box = await bench.adapter("box")
    await bench.start(box.target(operations=[COMPLETION]))
    request = asked(stream=stream, **fields)
    with pytest.raises(MeshError) as caught:
        await answered(bench, request)
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.UNSUPPORTED_PARAMETER, param)
    assert box.seen == []


async def answered(bench: GatewayBench, request: InferenceRequest) -> None:
    if not request.stream:
        await bench.pipeline.complete(request)
        return
    async with bench.pipeline.stream(request):
        pass
