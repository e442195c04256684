"""What may not leave a zone does not: with two zones side by side, faults in one of them, and the official client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, sdk
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, eventually, live_mesh

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """
[routing.aliases]
private = "fake-model"

[routing.zones]
private = "restricted"
"""
INSIDE = {"X-Nexus-Zone": "restricted"}
Engines = tuple[FakeOpenAI, FakeOpenAI]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines() -> AsyncIterator[Engines]:
    """One in the default zone, one in the restricted one."""
    async with FakeOpenAI("fake-model") as outside, FakeOpenAI("fake-model") as inside:
        yield outside, inside


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, engines: Engines) -> AsyncIterator[LiveMesh]:
    outside, inside = engines
    config = backend("outside", outside.url, priority=1)
    config += backend("inside", inside.url, zone="restricted", priority=9) + POLICY
    async with live_mesh(tmp_path_factory.mktemp("zones"), config) as started:
        await eventually(lambda: _answers(started), timeout=30, what="both zones in use")
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, engines: Engines) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh, max_retries=0) as opened:
        yield opened
    for engine in engines:
        engine.mode = modes.ok()
    await eventually(lambda: _answers(mesh), timeout=30, what="both zones in use again")


async def _answers(mesh: LiveMesh) -> bool:
    """Whether both zones serve."""
    async with sdk(mesh, max_retries=0) as client:
        try:
            for zone in ("default", "restricted"):
                await _served(client, "fake-model", extra_headers={"X-Nexus-Zone": zone})
        except openai.APIStatusError:
            return False
    return True


async def _served(client: openai.AsyncOpenAI, model: str, **more: Any) -> dict[str, str]:
    raw = await client.chat.completions.with_raw_response.create(model=model, messages=HELLO, **more)
    names = ("backend", "backend-type", "privacy-zone", "route-reason", "attempts")
    return {name: raw.headers[f"x-nexus-{name}"] for name in names}


async def test_without_a_demand_the_preferred_one_serves(client: openai.AsyncOpenAI) -> None:
    assert await _served(client, "fake-model") == {
        "backend": "outside",
        "backend-type": "openai_compatible",
        "privacy-zone": "default",
        "route-reason": "capability-match",
        "attempts": "1",
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "headers"), [("fake-model", INSIDE), ("private", {}), ("private", INSIDE)])
async def test_a_demand_by_client_or_policy_is_kept(
    client: openai.AsyncOpenAI, model: str, headers: dict[str, str], stream: bool
) -> None:
    served = await _served(client, model, extra_headers=headers, stream=stream)
    assert (served["backend"], served["privacy-zone"]) == ("inside", "restricted")
    assert served["route-reason"] == "privacy-requirement"


async def test_a_client_cannot_widen_what_policy_demands(
    client: openai.AsyncOpenAI, engines: Engines
) -> None:
    asked = len(engines[0].calls)
    served = await _served(client, "private", extra_headers={"X-Nexus-Zone": "open"})
    assert served["backend"] == "inside"
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await _served(client, "private", extra_headers={"X-Nexus-Zone": "default"})
    assert refused.value.code == "privacy_zone"
    assert len(engines[0].calls) == asked


FAULTS = {
    "an error": modes.error(500),
    "overload": modes.rate_limited("1"),
    "a lost connection": modes.drop(),
    "a cut stream": modes.die_after(2, "close"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAULTS)
async def test_no_fault_sends_it_outside(
    client: openai.AsyncOpenAI, engines: Engines, case: str, stream: bool
) -> None:
    outside, inside = engines
    inside.mode, asked = FAULTS[case], len(outside.calls)
    for _ in range(7):
        with pytest.raises(openai.APIError):
            await _read(client, stream)
    assert len(outside.calls) == asked


async def _read(client: openai.AsyncOpenAI, stream: bool) -> None:
    answer: Any = await client.chat.completions.create(model="private", messages=HELLO, stream=stream)
    if stream:
        async for _ in answer:
            await asyncio.sleep(0)


async def test_a_zone_without_the_model_is_a_refusal(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await _served(client, "fake-model", extra_headers={"X-Nexus-Zone": "vault-room"})
    assert (refused.value.code, refused.value.type) == ("privacy_zone", "permission_error")
    assert "zone default, not vault-room" in refused.value.message


@pytest.mark.parametrize("zone", ["not a zone", "-", "a" * 64])
async def test_what_is_no_zone_is_said_to_be_none(client: openai.AsyncOpenAI, zone: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await _served(client, "fake-model", extra_headers={"X-Nexus-Zone": zone})
    assert refused.value.param == "X-Nexus-Zone"


async def test_explain_tells_who_was_left_out_and_why(mesh: LiveMesh) -> None:
    assert await _fates(mesh, "private") == {"inside": (1, ""), "outside": (0, "zone")}
    demanded = ("fake-model", "--zone", "default")
    assert await _fates(mesh, *demanded) == {"inside": (0, "zone"), "outside": (1, "")}


async def _fates(mesh: LiveMesh, *arguments: str) -> dict[str, tuple[int, str]]:
    told = (await nexus(mesh.layout.home, "explain", *arguments, "--json")).json
    return {row["target"].partition("#")[2]: (row["rank"], row["stage"]) for row in told["candidates"]}


async def test_the_gateway_explains_a_request_by_its_own_body(mesh: LiveMesh, engines: Engines) -> None:
    asked = [len(engine.calls) for engine in engines]
    async with aiohttp.ClientSession() as session:
        body = {"model": "private", "messages": HELLO}
        async with session.post(f"{mesh.base_url}/route/explain", json=body) as answer:
            told = await answer.json()
    assert (told["resolved_model"], told["zones"]) == ("fake-model", ["restricted"])
    fates = {row["backend"]: (row["rank"], row["stage"]) for row in told["candidates"]}
    assert fates == {"inside": (1, None), "outside": (0, "zone")}
    assert [len(engine.calls) for engine in engines] == asked, "explaining ran something"
