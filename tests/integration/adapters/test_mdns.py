"""Engines that announce themselves by mDNS: asked before they are believed, dropped when they say goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.discovery.backends import DiscoveredBackends
from nexus_inference_adapters.discovery.mdns.adverts import Use
from nexus_inference_adapters.discovery.mdns.browser import browsing
from nexus_inference_adapters.discovery.mdns.candidates import EACH, MOST, Standing
from nexus_inference_adapters.discovery.mdns.seeker import Seeker
from nexus_inference_adapters.host.lifecycle import Lifecycle
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.process import mdns
from support.adapter_host import HELLO, Bench
from support.announcer import LOOPBACK, Announcer, announcer, service_type
from support.fake_ollama import FakeOllama
from support.fake_server import FakeServer
from support.fake_vllm import FakeVllm
from support.processes import free_port
from support.waiting import eventually
from zeroconf.asyncio import AsyncZeroconf

BOUND = 20.0


@dataclass
class Lan:
    """A network of this test's own: its service types, who browses, who announces."""

    seeker: Seeker
    announcer: Announcer
    engine: str
    mesh: str
    not_yet: str


@asynccontextmanager
async def lan(bench: Bench, *, elsewhere: bool = False, **settings: Any) -> AsyncIterator[Lan]:
    """`elsewhere`: loopback counts as another machine's address."""
    engine, mesh, not_yet = service_type(), service_type(), service_type()
    chosen = AdapterSettings.model_construct(**{"backends": (), "skip_ports": (), **settings})
    services = {engine: Use.ENGINE, mesh: Use.MESH, not_yet: Use.NOT_YET}
    here = {"here": lambda _: False} if elsewhere else {}
    async with (
        browsing(
            DiscoveredBackends(bench.host), chosen, services=services, interfaces=lambda: LOOPBACK, **here
        ) as seeker,
        announcer() as announcing,
    ):
        yield Lan(seeker, announcing, engine, mesh, not_yet)


class Impostor(FakeServer):
    """Answers everything with JSON, and is no engine. With `headers` it is a mesh's gateway."""

    def __init__(self, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._body, self._headers = body or {}, headers

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self._answer)]

    async def _answer(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._body, headers=self._headers)


def names(bench: Bench) -> list[str]:
    return [backend.config.name for backend in bench.host.backends]


async def served(bench: Bench, *wanted: str) -> None:
    await eventually(lambda: names(bench) == sorted(wanted), BOUND, f"exactly {wanted} to be served")


async def test_what_is_announced_is_asked_what_it_is_and_serves(
    bench: Bench, fake_ollama: FakeOllama, fake_vllm: FakeVllm
) -> None:
    async with lan(bench) as net:
        # The TXT record says it were something else at another place; nobody reads it.
        await net.announcer.announce(net.engine, "A B's Engine", fake_ollama.port, kind="vllm", path="/x")
        await net.announcer.announce(net.engine, "other", fake_vllm.port)
        await served(bench, f"ollama-{fake_ollama.port}", f"vllm-{fake_vllm.port}")
        backend = bench.host.named[f"ollama-{fake_ollama.port}"]
        assert (backend.config.origin, backend.config.remote) == ("discovery", False)
        await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, BOUND)
        assert await bench.complete(backend, {**HELLO, "model": "llama3.2"})
    assert names(bench) == []


NEIGHBOUR = ("127.0.0.2",)


@pytest.mark.security
async def test_what_means_this_machine_must_come_from_it(bench: Bench, fake_ollama: FakeOllama) -> None:
    """A8: a neighbour announces our own address, alone and beside its own; then this machine does itself."""
    engine = service_type()
    settings = AdapterSettings.model_construct(backends=(), skip_ports=())
    interfaces = (*LOOPBACK, *NEIGHBOUR)
    async with (
        browsing(
            DiscoveredBackends(bench.host),
            settings,
            services={engine: Use.ENGINE},
            interfaces=lambda: interfaces,
            here=lambda address: address in LOOPBACK,
        ) as seeker,
        announcer(NEIGHBOUR) as neighbour,
        announcer() as own,
    ):
        await neighbour.announce(engine, "ours", fake_ollama.port)
        both = await neighbour.announce(engine, "both", fake_ollama.port, (*LOOPBACK, *NEIGHBOUR))
        await eventually(
            lambda: both in seeker.candidates, BOUND, "the neighbour's own address to be looked at"
        )
        advert = seeker.candidates.get(both)
        assert advert is not None
        assert advert.addresses == NEIGHBOUR
        assert f"ours.{engine}" not in seeker.candidates
        assert names(bench) == []
        await own.announce(engine, "true", fake_ollama.port)
        await served(bench, f"ollama-{fake_ollama.port}")


async def test_an_engine_announced_thrice_is_served_once_and_until_the_last_goodbye(
    bench: Bench, fake_ollama: FakeOllama
) -> None:
    name = f"ollama-{fake_ollama.port}"
    async with lan(bench) as net:
        announced = [
            await net.announcer.announce(net.engine, label, fake_ollama.port) for label in ("a", "b", "c")
        ]
        await eventually(lambda: all(one in net.seeker.candidates for one in announced), BOUND)
        await served(bench, name)
        for one in announced[:-1]:
            await net.announcer.withdraw(one)
            await eventually(lambda one=one: one not in net.seeker.candidates, BOUND)
        assert names(bench) == [name]
        await net.announcer.withdraw(announced[-1])
        await served(bench)


async def test_a_goodbye_drops_it_and_lets_its_requests_end(bench: Bench, fake_vllm: FakeVllm) -> None:
    fake_vllm.interval = 0.6
    async with lan(bench) as net:
        announced = await net.announcer.announce(net.engine, "engine", fake_vllm.port)
        await served(bench, f"vllm-{fake_vllm.port}")
        [backend] = bench.host.backends
        await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, BOUND)
        running = asyncio.create_task(bench.stream(backend, {**HELLO, "stream": True}))
        await eventually(lambda: fake_vllm.running, BOUND)
        await net.announcer.withdraw(announced)
        await served(bench)
        assert (await running).finish is not None


async def test_an_announcement_that_is_too_old_drops_it(
    bench: Bench, fake_ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody says goodbye; what the browser remembers is made older by more than its time to live."""
    responders: list[AsyncZeroconf] = []
    real = mdns.responder

    @asynccontextmanager
    async def noted(interfaces: Sequence[str]) -> AsyncIterator[AsyncZeroconf]:
        async with real(interfaces) as responder:
            responders.append(responder)
            yield responder

    monkeypatch.setattr(mdns, "responder", noted)
    async with lan(bench) as net:
        net.announcer.say_once(net.engine, "engine", fake_ollama.port)
        await served(bench, f"ollama-{fake_ollama.port}")
        [browser] = responders
        cache: Any = browser.zeroconf.cache
        [pointer] = cache.async_entries_with_name(net.engine)
        cache._async_set_created_ttl(pointer, pointer.created - 10_000_000, 4500)
        await served(bench)


async def test_what_only_claims_to_be_an_engine_is_refused(bench: Bench, fake_ollama: FakeOllama) -> None:
    gateway = Impostor({"data": [{"id": "m", "owned_by": "vllm"}]}, {"X-Nexus-Request-Id": "req_1"})
    generic = Impostor({"data": [{"id": "m", "owned_by": "me"}]})
    async with Impostor() as nothing, generic, gateway, lan(bench) as net:
        impostors = (nothing, generic, gateway)
        for number, impostor in enumerate(impostors):
            await net.announcer.announce(net.engine, f"impostor-{number}", impostor.port)
        await eventually(lambda: all(impostor.requests for impostor in impostors), BOUND)
        await net.announcer.announce(net.engine, "true", fake_ollama.port)
        await served(bench, f"ollama-{fake_ollama.port}")


async def test_a_redirect_is_not_followed(bench: Bench, fake_ollama: FakeOllama) -> None:
    class Redirect(FakeServer):
        def routes(self) -> Iterable[web.RouteDef]:
            return [web.get("/{path:.*}", self._answer)]

        async def _answer(self, request: web.Request) -> web.StreamResponse:
            raise web.HTTPTemporaryRedirect(f"{fake_ollama.url}{request.path}")

    async with Redirect() as redirect, lan(bench) as net:
        name = await net.announcer.announce(net.engine, "redirect", redirect.port)
        await eventually(lambda: len(redirect.requests) >= 2, BOUND)
        assert name in net.seeker.candidates
        assert names(bench) == []
        assert fake_ollama.requests == []


async def test_meshes_and_what_has_no_adapter_are_remembered_and_never_asked(
    bench: Bench, fake_ollama: FakeOllama, fake_vllm: FakeVllm
) -> None:
    async with lan(bench) as net:
        known = [
            await net.announcer.announce(net.mesh, "nexus", fake_ollama.port),
            await net.announcer.announce(net.not_yet, "voice", fake_ollama.port),
        ]
        await net.announcer.announce(net.engine, "engine", fake_vllm.port)
        await served(bench, f"vllm-{fake_vllm.port}")
        await eventually(lambda: all(name in net.seeker.candidates for name in known), BOUND)
        assert fake_ollama.requests == []


async def test_only_addresses_of_home_networks_are_asked(bench: Bench, fake_ollama: FakeOllama) -> None:
    async with lan(bench) as net:
        refused = [
            await net.announcer.announce(net.engine, f"refused-{number}", fake_ollama.port, [address])
            for number, address in enumerate(("93.184.216.34", "169.254.169.254", "0.0.0.0", "224.0.0.1"))
        ]
        # One good address among bad ones is enough, and the only one asked.
        mixed = await net.announcer.announce(
            net.engine, "mixed", fake_ollama.port, ["93.184.216.34", *LOOPBACK]
        )
        await served(bench, f"ollama-{fake_ollama.port}")
        advert = net.seeker.candidates.get(mixed)
        assert advert is not None
        assert advert.addresses == LOOPBACK
        assert [name for name in refused if name in net.seeker.candidates] == []


async def test_engines_of_other_machines_are_only_looked_at(bench: Bench, fake_ollama: FakeOllama) -> None:
    async with lan(bench, elsewhere=True) as net:
        name = await net.announcer.announce(net.engine, "theirs", fake_ollama.port)
        await eventually(lambda: "/api/tags" in fake_ollama.paths, BOUND)
        await eventually(lambda: net.seeker.candidates.standing(name) is Standing.SEEN, BOUND)
        assert names(bench) == []


async def test_engines_of_other_machines_are_open_where_they_are_adopted(
    bench: Bench, fake_ollama: FakeOllama
) -> None:
    async with lan(bench, elsewhere=True, mdns="adopt") as net:
        await net.announcer.announce(net.engine, "theirs", fake_ollama.port)
        await served(bench, f"ollama-{fake_ollama.port}")
        [backend] = bench.host.backends
        await eventually(lambda: backend.inspection.offers, BOUND)
        assert all(offer.model.remote for offer in backend.inspection.offers)
        assert backend.config.priority > 50
        assert list(backend.describe().abilities) == []
        with pytest.raises(MeshError, match="its owner's") as refused:
            await Lifecycle(bench.host).delete(backend.config.name, "llama3.2:latest")
        assert refused.value.reason is Reason.CAPABILITY_MISSING


async def test_what_the_operator_listed_is_left_to_it(bench: Bench, fake_ollama: FakeOllama) -> None:
    listed = (BackendConfig(name="box", kind="ollama", url=fake_ollama.url),)
    async with FakeVllm() as other, lan(bench, elsewhere=True, mdns="adopt", backends=listed) as net:
        name = await net.announcer.announce(net.engine, "box", fake_ollama.port)
        await eventually(lambda: name in net.seeker.candidates, BOUND)
        await net.announcer.announce(net.engine, "other", other.port)
        await served(bench, f"vllm-{other.port}")
        assert fake_ollama.requests == []


@pytest.mark.parametrize(("machines", "most"), [(1, EACH), (1000, MOST)])
async def test_a_flood_is_bounded_and_crowds_nobody_out(
    bench: Bench, fake_ollama: FakeOllama, machines: int, most: int
) -> None:
    async with lan(bench) as net:
        seeker, dead = net.seeker, free_port()
        for number in range(1000):
            address = f"127.66.{number % machines // 250}.{number % machines % 250 + 1}"
            net.announcer.say_once(net.engine, f"flood-{number}", dead, [address])
            await asyncio.sleep(0)
            assert len(seeker.candidates) <= most
        await eventually(lambda: len(seeker.candidates) == most, BOUND, "the flood to fill its share")
        await net.announcer.announce(net.engine, "true", fake_ollama.port)
        await eventually(lambda: names(bench) == [f"ollama-{fake_ollama.port}"], 120, "the true one")
        assert len(seeker.candidates) <= MOST


async def test_an_engine_that_starts_after_its_announcement_is_found(bench: Bench) -> None:
    port = free_port()
    async with lan(bench) as net:
        name = await net.announcer.announce(net.engine, "late", port)
        await eventually(lambda: name in net.seeker.candidates, BOUND)
        late = FakeOllama()
        await late.start(port)
        try:
            await served(bench, f"ollama-{port}")
        finally:
            await late.stop()
