"""API keys: asked once, revoked at once, still good while the vault is away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.crowd import waiting
from support.gateway_bench import GatewayBench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually

KEY = "nx_test_abcdefghijkl_secret"


async def refused(bench: GatewayBench, credential: str | None) -> Reason:
    with pytest.raises(MeshError) as caught:
        await bench.ask(credential=credential)
    return caught.value.reason


async def until_refused(bench: GatewayBench, seconds: float) -> Reason:
    """Asks with KEY until it is no longer good."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await bench.ask(credential=KEY)
            except MeshError as error:
                return error.reason
            await asyncio.sleep(0.01)


@pytest.fixture
async def guarded(bench: GatewayBench) -> GatewayBench:
    """A bench that wants keys, knows KEY, and has one adapter."""
    box = await bench.adapter("box")
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="mine")
    await bench.start(box.target(), auth="keys")
    await eventually(lambda: bench.control.vault.watchers == 1, what="the key watch")
    return bench


async def test_key_is_asked_for_once(guarded: GatewayBench) -> None:
    guarded.control.vault.delay = 0.05
    await asyncio.gather(*(guarded.ask(credential=KEY) for _ in range(20)))
    await guarded.ask(credential=KEY)
    assert guarded.control.vault.asked == [KEY]


@pytest.mark.parametrize("credential", [None, "", "wrong", KEY + "x", KEY[:-1]])
async def test_no_good_key_no_answer(guarded: GatewayBench, credential: str | None) -> None:
    await guarded.ask(credential=KEY)
    assert await refused(guarded, credential) is Reason.CALLER_KEY


@pytest.mark.security
@pytest.mark.parametrize("sent", [{"keep_alive": 0}, {"options": {"num_gpu": 0}}, {"lora": []}, {"bogus": 1}])
async def test_an_ordinary_key_moves_no_model_and_sends_nothing_unknown(
    guarded: GatewayBench, sent: dict[str, Any]
) -> None:
    """A12: refused whole, streamed, and when only counted; a key that manages may, and the operator's list widens."""
    box = guarded.boxes[0]
    for ask in (guarded.ask, guarded.ask_stream, guarded.count):
        with pytest.raises(MeshError) as caught:
            await ask(credential=KEY, body=sent)
        assert caught.value.reason in (Reason.CALLER_SCOPE, Reason.UNSUPPORTED_PARAMETER)
    assert (box.seen, box.counted) == ([], [])
    await guarded.ask(credential=KEY, body={"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}})
    guarded.control.vault.keys["manager"] = keys_pb2.Key(id="manager00000", name="boss", manage=True)
    await guarded.ask(credential="manager", body=sent)
    assert json.loads(box.seen[-1].body).keys() >= sent.keys()


async def test_the_operator_lets_a_parameter_through(bench: GatewayBench) -> None:
    """A12: [gateway] passthrough."""
    box = await bench.adapter("box")
    bench.control.vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="mine")
    await bench.start(box.target(), auth="keys", passthrough=["bogus"])
    await bench.ask(credential=KEY, body={"bogus": 1})
    assert json.loads(box.seen[-1].body)["bogus"] == 1


async def test_wrong_key_is_not_asked_for_again_at_once(guarded: GatewayBench) -> None:
    for _ in range(10):
        assert await refused(guarded, "wrong") is Reason.CALLER_KEY
    assert guarded.control.vault.asked == ["wrong"]


async def test_revoked_key_is_refused_within_a_second(guarded: GatewayBench) -> None:
    await guarded.ask(credential=KEY)
    guarded.control.vault.revoke("abcdefghijkl")
    assert await until_refused(guarded, 1.0) is Reason.CALLER_KEY


async def test_known_key_stays_good_while_the_vault_is_away_and_unknown_is_not_called_wrong(
    guarded: GatewayBench,
) -> None:
    await guarded.ask(credential=KEY)
    await guarded.control.stop("vault")
    await guarded.ask(credential=KEY)
    assert await refused(guarded, "unknown") is Reason.AUTH_UNAVAILABLE


async def test_revocation_during_an_outage_counts_when_the_vault_is_back(guarded: GatewayBench) -> None:
    await guarded.ask(credential=KEY)
    await guarded.control.stop("vault")
    guarded.control.vault.revoke("abcdefghijkl")
    await guarded.ask(credential=KEY)
    await guarded.control.start("vault")
    await eventually(lambda: guarded.control.vault.watchers == 1, what="the key watch to be back")
    assert await until_refused(guarded, 2.0) is Reason.CALLER_KEY


@pytest.fixture
async def busy(bench: GatewayBench) -> ScriptedAdapter:
    """One place, and whoever has it keeps it until let go."""
    box = await bench.adapter("box")
    box.mode = "held"
    vault = bench.control.vault
    vault.keys[KEY] = keys_pb2.Key(id="abcdefghijkl", name="mine", tenant="default")
    vault.tenants["default"] = tenants_pb2.Tenant(id="default", name="default", weight=1)
    await bench.start(box.target(capacity=1), auth="keys", queue={"wait": 60, "stretch": 1000})
    await eventually(lambda: bench.control.vault.watchers == 1, what="the key watch")
    return box


async def is_refused(bench: GatewayBench) -> bool:
    try:
        await bench.pipeline.authenticate(KEY)
    except MeshError:
        return True
    return False


async def is_confined(bench: GatewayBench) -> bool:
    return bool((await bench.pipeline.authenticate(KEY)).zones)


async def one_waits(bench: GatewayBench, busy: ScriptedAdapter) -> list[asyncio.Task[Any]]:
    """A request that runs, and one that waits for it."""
    first = asyncio.create_task(bench.ask(credential=KEY))
    await eventually(lambda: len(busy.seen) == 1, what="the first to run")
    second = asyncio.create_task(bench.ask(credential=KEY))
    await eventually(lambda: waiting() == 1, what="the second to wait")
    return [first, second]


async def test_a_key_revoked_while_its_request_waits_is_good_no_more(
    bench: GatewayBench, busy: ScriptedAdapter
) -> None:
    first, second = await one_waits(bench, busy)
    bench.control.vault.revoke("abcdefghijkl")
    await eventually(lambda: is_refused(bench), what="the news of it")
    busy.let_go()
    await first
    with pytest.raises(MeshError) as caught:
        await second
    assert (caught.value.reason, len(busy.seen)) == (Reason.CALLER_KEY, 1)
    busy.mode = "ok"


async def test_a_tenant_confined_while_its_request_waits_is_confined(
    bench: GatewayBench, busy: ScriptedAdapter
) -> None:
    first, second = await one_waits(bench, busy)
    bench.control.vault.change("default", zone="restricted")
    await eventually(lambda: is_confined(bench), what="the news of it")
    busy.let_go()
    await first
    with pytest.raises(MeshError) as caught:
        await second
    assert (caught.value.reason, len(busy.seen)) == (Reason.PRIVACY_ZONE, 1)
