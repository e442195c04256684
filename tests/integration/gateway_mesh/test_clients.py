"""Programs with a certificate of their own, and members that ask for somebody else: whose zone they get."""

from __future__ import annotations

import asyncio
import datetime
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import tenants_pb2
from nexus_gateway.access import Members, Share
from nexus_gateway.access.accounts import Tenant
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import Caller, Claims, Identity, SpiffeId, role_server_name
from nexus_mesh.rpc import Method, Peer
from prometheus_client import REGISTRY
from support.crowd import PATIENT, held_box, one_by_one, started, waiting
from support.gateway_bench import GatewayBench
from support.properties import examples, given
from support.scripted_adapter import text_of
from support.tcp_proxy import TcpProxy
from support.waiting import eventually
from support.whole_gateway import gateway

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)
COUNT = Method(SERVICE, "CountTokens", inference_pb2.CountTokensRequest, inference_pb2.CountTokensResponse)

pytestmark = pytest.mark.security


def envelope(**fields: Any) -> inference_pb2.Envelope:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields.pop("body", {})}
    return inference_pb2.Envelope(
        **{"operation": model_pb2.OPERATION_CHAT, "model": "m", **fields}, body=json.dumps(body)
    )


class Door:
    """The gRPC door of a whole gateway with a backend in zone "default" (first choice) and one in zone "home"."""

    def __init__(self, bench: GatewayBench, address: str) -> None:
        self.bench = bench
        self._address = address

    @asynccontextmanager
    async def peer(self, identity: Identity) -> AsyncIterator[Peer]:
        peer = Peer(self._address, role_server_name("gateway", "nexus.internal"), identity)
        try:
            yield peer
        finally:
            await peer.close()

    async def ask(self, identity: Identity, **fields: Any) -> inference_pb2.CompleteResponse:
        async with self.peer(identity) as peer:
            request = inference_pb2.CompleteRequest(envelope=envelope(**fields))
            return await peer.unary(COMPLETE, request, timeout=10)

    async def refusal(self, identity: Identity, **fields: Any) -> Reason:
        with pytest.raises(MeshError) as caught:
            await self.ask(identity, **fields)
        return caught.value.reason

    def tenants(self, **zones: str) -> None:
        """These tenants, each with a zone; the id is "id-" and the name."""
        rows = (
            tenants_pb2.Tenant(id=f"id-{name}", name=name, zone=zone, weight=1)
            for name, zone in zones.items()
        )
        self.bench.control.vault.show_tenants(*rows)

    def client(self, tenant: str, models: tuple[str, ...] = ()) -> Identity:
        return self.bench.ca.client(tenant, f"id-{tenant}", models)


@pytest.fixture
async def door(bench: GatewayBench) -> AsyncIterator[Door]:
    outside, inside = await bench.adapter("outside"), await bench.adapter("inside", zone="home")
    async with gateway(bench) as running:
        opened = Door(bench, running.grpc_address)
        opened.tenants(open="", homely="home")
        bench.control.router.show(outside.target(priority=1), inside.target(priority=9))
        operator = bench.ca.identity("operator")

        async def is_up() -> bool:
            try:
                await opened.ask(operator, on_behalf_of="open")
            except MeshError:
                return False
            return True

        await eventually(is_up, timeout=20, what="the gateway serving")
        yield opened


async def test_a_client_completes_streams_and_counts_in_its_tenants_zone(door: Door) -> None:
    """Without its tenant the backend outside would be the first choice, as the other client shows."""
    assert (await door.ask(door.client("open"))).served.zone == "default"
    client = door.client("homely")
    assert (await door.ask(client)).served.zone == "home"
    async with door.peer(client) as peer:
        async with peer.stream(STREAM, inference_pb2.StreamRequest(envelope=envelope()), timeout=10) as call:
            messages = [message async for message in call]
        counted = await peer.unary(COUNT, inference_pb2.CountTokensRequest(envelope=envelope()), timeout=10)
    assert messages[0].served.zone == "home"
    assert "".join(map(text_of, messages))
    assert messages[-1].WhichOneof("event") == "finish"
    assert counted.served.zone == "home"


async def test_a_client_can_only_tighten_what_its_tenant_demands(door: Door) -> None:
    assert (await door.ask(door.client("open"), zone="home")).served.zone == "home"
    assert await door.refusal(door.client("homely"), zone="default") is Reason.PRIVACY_ZONE


async def test_a_client_may_not_speak_for_another_tenant(door: Door) -> None:
    """Nor for its own: what is not granted is refused, not passed over."""
    for tenant in ("open", "homely", "nobody"):
        assert await door.refusal(door.client("homely"), on_behalf_of=tenant) is Reason.MESH_POLICY


async def test_a_client_asks_the_models_it_was_let_in_for(door: Door) -> None:
    """By the name in the body too."""
    assert (await door.ask(door.client("open", ("m*",)))).served.model == "m"
    assert await door.refusal(door.client("open", ("other*",))) is Reason.CALLER_SCOPE
    named_inside = {"model": "", "body": {"model": "m"}}
    assert await door.refusal(door.client("open", ("other*",)), **named_inside) is Reason.CALLER_SCOPE


async def test_a_client_does_not_go_before_all_others(door: Door) -> None:
    assert (
        await door.refusal(door.client("open"), priority=inference_pb2.PRIORITY_HIGH) is Reason.CALLER_SCOPE
    )


async def test_a_client_without_a_tenant_is_nobody(door: Door) -> None:
    assert await door.refusal(door.bench.ca.identity("client")) is Reason.CALLER_SCOPE


async def test_who_is_turned_away_is_counted_and_who_only_counts_is_not(door: Door) -> None:
    def refused(reason: Reason) -> float:
        labels = {"operation": "chat", "outcome": reason.value.lower()}
        return REGISTRY.get_sample_value("nexus_gateway_requests_total", labels) or 0.0

    before = {reason: refused(reason) for reason in (Reason.CALLER_SCOPE, Reason.INVALID_REQUEST)}
    assert await door.refusal(door.client("nobody")) is Reason.CALLER_SCOPE
    assert await door.refusal(door.client("open"), body={"temperature": "hot"}) is Reason.INVALID_REQUEST
    async with door.peer(door.client("nobody")) as peer:
        with pytest.raises(MeshError):
            await peer.unary(COUNT, inference_pb2.CountTokensRequest(envelope=envelope()), timeout=10)
    assert {reason: refused(reason) - number for reason, number in before.items()} == dict.fromkeys(before, 1)


async def test_a_tenant_that_is_confined_or_deleted_is_so_at_once(door: Door) -> None:
    client = door.client("open")
    assert (await door.ask(client)).served.zone == "default"
    door.tenants(open="home")

    async def is_confined() -> bool:
        return (await door.ask(client)).served.zone == "home"

    await eventually(is_confined, timeout=5, what="the tenant's new zone")
    door.tenants(homely="home")
    await eventually(lambda: _is_refused(door, client), timeout=5, what="the refusal of the tenant's client")
    # A tenant that is given the name later is another one.
    door.bench.control.vault.show_tenants(tenants_pb2.Tenant(id="id-other", name="open", weight=1))
    await eventually(
        lambda: _is_served(door, door.bench.ca.client("open", "id-other")), timeout=5, what="the new tenant"
    )
    assert await door.refusal(client) is Reason.CALLER_SCOPE


async def _is_refused(door: Door, client: Identity) -> bool:
    """A count takes no place, so that it need not wait for one."""
    async with door.peer(client) as peer:
        try:
            await peer.unary(COUNT, inference_pb2.CountTokensRequest(envelope=envelope()), timeout=5)
        except MeshError as error:
            return error.reason is Reason.CALLER_SCOPE
    return False


async def _is_served(door: Door, client: Identity) -> bool:
    return not await _is_refused(door, client)


async def test_tenants_stay_known_while_the_vault_is_away(door: Door) -> None:
    await door.bench.control.stop("vault")
    assert (await door.ask(door.client("homely"))).served.zone == "home"


async def test_a_gateway_that_never_heard_its_vault_lets_no_client_in(bench: GatewayBench) -> None:
    await bench.control.stop("vault")
    async with gateway(bench) as running:
        door = Door(bench, running.grpc_address)
        assert await door.refusal(door.client("open")) is Reason.AUTH_UNAVAILABLE
        operator = bench.ca.identity("operator")
        assert await door.refusal(operator, on_behalf_of="open") is Reason.AUTH_UNAVAILABLE


async def test_who_acts_for_a_tenant_is_served_as_that_tenant(door: Door) -> None:
    operator = door.bench.ca.identity("operator")
    assert (await door.ask(operator)).served.zone == "default"
    assert (await door.ask(operator, on_behalf_of="homely")).served.zone == "home"
    assert await door.refusal(operator, on_behalf_of="nobody") is Reason.OBJECT_NOT_FOUND
    assert await door.refusal(operator, on_behalf_of="homely", zone="default") is Reason.PRIVACY_ZONE


async def test_a_member_whose_role_acts_for_nobody_is_refused(door: Door) -> None:
    assert await door.refusal(door.bench.ca.identity("gateway"), on_behalf_of="homely") is Reason.MESH_POLICY


async def test_a_waiting_client_is_asked_again_who_it_is(door: Door) -> None:
    """Its tenant is deleted while it waits for a place: as a key that is revoked meanwhile, it gets none."""
    _, inside = door.bench.boxes
    inside.mode, before = "held", len(inside.seen)
    door.bench.control.router.show(inside.target(capacity=1))
    busy = asyncio.create_task(door.ask(door.client("homely")))
    await eventually(lambda: inside.active == 1, timeout=10, what="the first request at the backend")
    queued = asyncio.create_task(door.refusal(door.client("homely")))
    await eventually(
        lambda: waiting() == 1,
        timeout=10,
        what="the second one waiting",
    )
    door.tenants(open="")
    await eventually(lambda: _is_refused(door, door.client("homely")), timeout=5, what="the deletion")
    inside.let_go(2)
    assert await queued is Reason.CALLER_SCOPE
    await busy
    assert len(inside.seen) == before + 1


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
RIGHTS = st.tuples(st.sampled_from(["", "home", "work", "default"]), st.integers(1, 1000))
FLEETS = st.dictionaries(NAMES, RIGHTS, min_size=1)


def _caller(role: str, claims: Claims) -> Caller:
    end = datetime.datetime.max.replace(tzinfo=datetime.UTC)
    return Caller(SpiffeId("nexus.internal", "elsewhere", "n", role, "agent"), end, 2e11, "1", claims)


@examples(200)
@given(FLEETS, st.data())
def test_whoever_asks_for_a_tenant_keeps_its_zone_and_weight(
    fleet: dict[str, tuple[str, int]], data: st.DataObject
) -> None:
    """A client and a member that acts for others alike, whatever happens to the tenants in between."""
    members = Members()
    members.replace(Tenant(f"id-{name}", name, zone, weight) for name, (zone, weight) in fleet.items())
    name = data.draw(st.sampled_from(sorted(fleet)))
    agent = members.principal(_caller("operator", Claims()), name)
    client = members.principal(_caller("client", Claims(tenant=name, tenant_id=f"id-{name}")))
    for _ in range(2):
        zone, weight = fleet[name]
        for principal in (agent, client):
            assert Share(principal.tenant, principal.weight) == (name, weight)
            assert principal.zones == frozenset({zone} - {""})
            assert not principal.manage
            assert principal.again is not None
        fleet[name] = data.draw(RIGHTS)
        members.replace(Tenant(f"id-{each}", each, *fleet[each]) for each in fleet)
        assert agent.again is not None
        assert client.again is not None
        agent, client = agent.again(), client.again()
    members.replace(())
    for principal, reason in ((agent, Reason.OBJECT_NOT_FOUND), (client, Reason.CALLER_SCOPE)):
        assert principal.again is not None
        with pytest.raises(MeshError) as caught:
            principal.again()
        assert caught.value.reason is reason


async def test_large_requests_of_a_client_are_read_as_far_as_there_is_room(door: Door) -> None:
    """Twenty bodies of 8 MB while there is room for one or two: what is not accounted for yet is not read either."""
    _, inside = door.bench.boxes
    inside.mode = "held"
    large = {"body": {"messages": [{"role": "user", "content": "x" * 8_000_000}]}}
    async with (
        gateway(door.bench, body_memory=32, body_share=0.5) as narrow,
        TcpProxy(narrow.grpc_address) as proxy,
    ):
        filling = Door(door.bench, narrow.grpc_address)
        client = door.client("homely")
        await eventually(lambda: _is_served_by(filling, client), timeout=20, what="the second gateway")
        async with Door(door.bench, proxy.endpoint).peer(client) as peer:
            request = inference_pb2.CompleteRequest(envelope=envelope(**large))
            asking = [asyncio.create_task(peer.unary(COMPLETE, request, timeout=60)) for _ in range(20)]
            await eventually(lambda: inside.active > 0, timeout=60, what="the first request at the backend")
            await _settled(proxy)
            assert proxy.sent < 12 * 8_000_000
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def _settled(proxy: TcpProxy) -> None:
    """Until nothing more is sent for a while."""
    before = -1
    while before != proxy.sent:
        before = proxy.sent
        await asyncio.sleep(0.5)


async def _is_served_by(door: Door, client: Identity) -> bool:
    async with door.peer(client) as peer:
        try:
            await peer.unary(COUNT, inference_pb2.CountTokensRequest(envelope=envelope()), timeout=5)
        except MeshError:
            return False
    return True


async def test_whoever_asks_for_a_tenant_has_its_weight_in_the_queue(bench: GatewayBench) -> None:
    """As keys have it: three turns for one, whether a client asks or a member on behalf of the tenant."""
    box = await held_box(bench)
    bench.control.vault.show_tenants(
        tenants_pb2.Tenant(id="id-light", name="light", weight=1),
        tenants_pb2.Tenant(id="id-heavy", name="heavy", weight=3),
    )
    async with gateway(bench, queue={**PATIENT, "tenant_share": 1}) as running:
        door, operator = Door(bench, running.grpc_address), bench.ca.identity("operator")
        client = bench.ca.client("heavy", "id-heavy")
        bench.control.router.show(box.target(capacity=1))
        await eventually(lambda: _is_served_by(door, client), timeout=20, what="the gateway serving")
        async with door.peer(operator) as acting, door.peer(client) as own:
            tasks = [asyncio.create_task(_named(acting, "running"))]
            await started(box, 1)
            for number in range(12):
                tasks.append(asyncio.create_task(_named(acting, f"light{number}", on_behalf_of="light")))
                tasks.append(asyncio.create_task(_named(own, f"heavy{number}")))
            await eventually(lambda: waiting() == 24, timeout=20, what="all of them waiting")
            order = await one_by_one(box, 13)
            assert Counter(name.rstrip("0123456789") for name in order[1:]) == {"light": 3, "heavy": 9}
            box.let_go(24)
            await asyncio.gather(*tasks)


async def _named(peer: Peer, name: str, **fields: Any) -> None:
    request = inference_pb2.CompleteRequest(envelope=envelope(request_id=name, **fields))
    await peer.unary(COMPLETE, request, timeout=60)


async def test_whatever_the_tenants_their_requests_stay_in_their_zones(door: Door) -> None:
    """The same property as above at the door itself, over fleets by chance: client and agent are served alike."""
    operator, chance = door.bench.ca.identity("operator"), random.Random(9)
    for _ in range(25):
        zones = {f"t{number}": chance.choice(["", "home", "default"]) for number in range(4)}
        door.tenants(**zones, mark="home" if chance.random() < 0.5 else "")
        name = chance.choice(sorted(zones))
        expected = zones[name] or "default"
        client = door.client(name)

        async def is_known(client: Identity = client, name: str = name, expected: str = expected) -> bool:
            try:
                own, acted = await door.ask(client), await door.ask(operator, on_behalf_of=name)
            except MeshError:
                return False
            return (own.served.zone, acted.served.zone) == (expected, expected)

        await eventually(is_known, timeout=5, what=f"requests of {name} in {expected}")
        if zones[name]:
            other = "default" if zones[name] == "home" else "home"
            assert await door.refusal(operator, on_behalf_of=name, zone=other) is Reason.PRIVACY_ZONE
            assert await door.refusal(client, zone=other) is Reason.PRIVACY_ZONE
