"""Every request is counted once and leaves one line in the log, without a word of its content or key."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from nexus.vault.v1 import keys_pb2
from nexus_mesh.core.errors import MeshError
from prometheus_client import REGISTRY
from structlog.typing import EventDict
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter

KEY = "nx_test_abcdefghijkl_canary-secret"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def requests(outcome: str) -> float:
    return value("nexus_gateway_requests_total", operation="chat", outcome=outcome)


async def lines(bench: GatewayBench, mode: str, **changes: Any) -> list[EventDict]:
    """What one streamed request leaves in the log of requests."""
    with structlog.testing.capture_logs() as logged:
        try:
            async with bench.stream(credential=KEY, **changes) as messages:
                async for _ in messages:
                    if mode == "leave":
                        break
        except MeshError:
            pass
    assert "canary" not in str(logged)
    return [line for line in logged if line["event"] == "request"]


@pytest.fixture
async def box(bench: GatewayBench) -> ScriptedAdapter:
    return await bench.adapter("box")


@pytest.fixture
async def counted(bench: GatewayBench, box: ScriptedAdapter) -> GatewayBench:
    """A bench with one adapter that wants keys."""
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="mine")
    await bench.start(box.target(), auth="keys")
    return bench


async def test_good_request_is_counted_with_its_tokens(counted: GatewayBench) -> None:
    before = requests("ok"), value("nexus_gateway_tokens_total", kind="completion")
    (line,) = await lines(counted, "ok")
    assert (line["outcome"], line["backend"], line["principal"]) == ("ok", "box", "abcdefghijkl")
    assert (line["attempts"], line["prompt"], line["completion"]) == (1, 2, 3)
    assert line["first_content_seconds"] <= line["seconds"]
    assert requests("ok") - before[0] == 1
    assert value("nexus_gateway_tokens_total", kind="completion") - before[1] == 3


async def test_refusal_is_counted_by_its_reason(counted: GatewayBench) -> None:
    before = requests("model_not_found")
    (line,) = await lines(counted, "fail", model="nope")
    assert (line["outcome"], line["backend"], line["attempts"]) == ("model_not_found", None, 0)
    assert requests("model_not_found") - before == 1


async def test_client_who_left_is_counted_as_such(counted: GatewayBench) -> None:
    before = requests("cancelled")
    (line,) = await lines(counted, "leave")
    assert line["outcome"] == "cancelled"
    assert requests("cancelled") - before == 1


@pytest.mark.parametrize(
    ("mode", "outcome", "produced"), [("content_then_fail", "upstream_error", 1), ("uncounted", "ok", 3)]
)
async def test_a_stream_nobody_counted_is_settled_for_what_it_had(
    counted: GatewayBench, box: ScriptedAdapter, mode: str, outcome: str, produced: int
) -> None:
    box.mode = mode
    before = value("nexus_gateway_tokens_total", kind="completion")
    (line,) = await lines(counted, mode)
    assert (line["outcome"], line["estimated"]) == (outcome, True)
    assert (line["prompt"], line["completion"]) == (8, produced)
    assert value("nexus_gateway_tokens_total", kind="completion") - before == produced


async def test_a_refused_stream_has_used_nothing(counted: GatewayBench, box: ScriptedAdapter) -> None:
    box.mode = "fail"
    (line,) = await lines(counted, "fail")
    assert (line["prompt"], line["completion"], line["estimated"]) == (None, None, None)


async def test_nothing_stays_active(counted: GatewayBench) -> None:
    for mode in ("ok", "leave", "fail"):
        await lines(counted, mode)
    assert value("nexus_gateway_active_requests") == 0
    assert counted.pipeline.traffic.active == {}


async def test_what_is_left_out_for_failing_is_counted(counted: GatewayBench, box: ScriptedAdapter) -> None:
    assert value("nexus_gateway_breakers_open") == 0
    box.mode = "fail"
    for _ in range(5):
        await lines(counted, "fail")
    assert value("nexus_gateway_breakers_open") >= 1
