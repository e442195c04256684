"""The mesh the faults are played on, while it runs: its traffic, what is waited for, what is put out of order."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from faults.backends import Trap, forget, healthy
from faults.clients import FIRST_TOKEN, STALL, TOTAL, Clients
from faults.history import History, Load, Operation
from faults.models import ADAPTERS, CROWD_INTERVAL, CROWD_MODELS, SHARED, VICTIMS, solo
from faults.rigged import SWITCHES
from faults.traffic import STREAMED, Demand, Traffic
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh
from support.processes import free_port
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = ["LIMITS", "Scene"]

LIMITS = f"[timeouts]\nfirst_token = {FIRST_TOKEN}\nstall = {STALL}\ntotal = {TOTAL}\n"
NO_LIMITS = "[timeouts]\nfirst_token = 900\nstall = 900\ntotal = 1800\n"

LOADED_SECONDS = 60.0
HEALTHY_SECONDS = 90.0
"""The router believes a backend that fell three times in a minute only after 30 seconds."""
LOOK = 0.05
"""Seconds between two looks at a whole history."""
ASK_AGAIN = 0.25
"""Seconds until services are asked again: each time takes a handshake with every one of them."""
RIGGED = Path(__file__).with_name("rigged.py")


class Scene:
    """`fakes`, `traps` and `links` (adapter to backend) are by victim, `a` or `b`."""

    def __init__(
        self,
        mesh: LiveMesh,
        fakes: dict[str, FakeOpenAI],
        links: dict[str, TcpProxy],
        crowd: FakeOpenAI,
        crowd_links: dict[str, TcpProxy],
    ) -> None:
        self.mesh = mesh
        self.fakes = fakes
        self.links = links
        self.crowd = crowd
        self.crowd_links = crowd_links
        crowd.mode = healthy(CROWD_INTERVAL)
        self._switch: str | None = None
        self._traffic: Traffic | None = None
        self._undo = AsyncExitStack()
        self.traps = {victim: Trap() for victim in fakes}
        for victim, fake in fakes.items():
            fake.mode = self.traps[victim]

    async def traffic(self, demand: Demand) -> Traffic:
        """What runs already is gone on with."""
        if self._traffic is not None and self._traffic.demand is not demand:
            await self.quiet()
        if self._traffic is None:
            self.crowd.mode = healthy(CROWD_INTERVAL)
            for trap in self.traps.values():
                trap.healthy = healthy(demand.interval)
            self._traffic = Traffic(self.mesh.base_url, demand)
            self._traffic.start()
        self._traffic.check()
        return self._traffic

    async def quiet(self) -> None:
        """Ends the traffic. AssertionError: of what no fault was judged by, something went wrong."""
        if self._traffic is None:
            return
        traffic, self._traffic = self._traffic, None
        await traffic.stop()
        left = self.settle(traffic.history)
        assert not traffic.history.operations, "requests without an end"
        if self._switch is None:
            wrong = [str(one) for one in left if one.outcome != "ok"]
            assert not wrong, f"between two faults, or after the last one: {wrong[:10]}"

    def settle(self, history: History) -> list[Operation]:
        """What has ended and is to be judged. What the backends know of it is to be read before the next time."""
        for fake in (*self.fakes.values(), self.crowd):
            forget(fake, {one.mark for one in history.operations})
        return history.settle()

    async def loaded(self, traffic: Traffic) -> Load:
        """R1: there is and was as much traffic as is asked for. TimeoutError: the run is void."""
        load, demand = Load(), traffic.demand

        async def enough() -> bool:
            nonlocal load
            await asyncio.sleep(LOOK)
            load = traffic.history.load(time.monotonic())
            return load.whole >= demand.whole and load.streams >= demand.streams

        try:
            await eventually(enough, timeout=LOADED_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"the load is no more than {load}") from None
        return load

    async def serving(self, within: float) -> None:
        """R2: each service says of itself that it serves."""
        healths: dict[str, str] = {}
        services = len(self.mesh.supervisor.units) - 1  # without etcd, which is nobody's to ask

        async def all_serve() -> bool:
            healths.clear()
            healths.update(await self.mesh.healths())
            if [*healths.values()] == ["SERVING"] * services:
                return True
            await asyncio.sleep(ASK_AGAIN)
            return False

        try:
            await eventually(all_serve, timeout=within)
        except TimeoutError:
            raise TimeoutError(f"after {within:.0f} s not all services serve: {healths}") from None

    async def healthy(self, traffic: Traffic, since: float) -> None:
        """R2: of the requests begun after `since`, one of every kind on every model ended well."""
        wanted = [(model, False) for model in traffic.demand.shares] + [(model, True) for model in STREAMED]

        async def enough() -> bool:
            await asyncio.sleep(LOOK)
            good = traffic.history.good(since)
            return all(good[one] for one in wanted)

        await eventually(enough, timeout=HEALTHY_SECONDS, what="the mesh healthy again")

    async def answered(self, victim: str, history: History) -> None:
        """Waits for a good answer of the victim's, so that failures begin to be counted anew."""
        now, model = time.monotonic(), solo(victim)
        await eventually(lambda: history.good(now)[model, False] > 0, timeout=30, what=f"{model} answering")

    async def streaming(self, victim: str) -> None:
        """Waits for the middle of a stream that only the victim can give."""

        def under_way() -> bool:
            return any(
                call.running and call.body["model"] == solo(victim) and 2 <= call.tokens_sent <= 5
                for call in self.fakes[victim].requests[-100:]
                if call.body and call.body.get("stream")
            )

        await eventually(under_way, timeout=30, what="a stream under way")

    async def switch_to(self, switch: str | None) -> None:
        """Puts one guard of the services out of order; None = all as they are."""
        if switch == self._switch:
            return
        await self.quiet()
        await self._undo.aclose()
        self._switch = None
        if switch is not None:
            await self._put_out_of_order(switch)
        await self.ready()
        self._switch = switch

    async def _put_out_of_order(self, switch: str) -> None:
        config = self.mesh.layout.home / "nexus.toml"
        units = {
            name: [*self.mesh.supervisor.units[name].spec.command] for name in ("gateway", *ADAPTERS.values())
        }
        touched = {name: command for name, command in units.items() if command[2] in SWITCHES[switch]}
        for name, command in touched.items():
            self._undo.push_async_callback(self.mesh.refit, name, command)
        if switch == "no time limits":
            honest = config.read_text()
            config.write_text(honest.replace(LIMITS, NO_LIMITS))
            self._undo.callback(config.write_text, honest)
        for name, command in touched.items():
            rigged = [sys.executable, "-P", str(RIGGED), switch, *command[2:]]
            await self.mesh.refit(name, rigged if SWITCHES[switch][command[2]] else command)

    @asynccontextmanager
    async def far_adapter(self, victim: str) -> AsyncIterator[TcpProxy]:
        """The victim's adapter is reached by the gateway through a wire that can be cut."""
        unit, port = ADAPTERS[victim], free_port()
        command = list(self.mesh.supervisor.units[unit].spec.command)
        async with TcpProxy(f"127.0.0.1:{port}") as proxy:
            advertised = proxy.endpoint.rpartition(":")[2]
            moved = [*command[2:]]
            moved[moved.index("--port") + 1] = str(port)
            await self.mesh.refit(unit, [sys.executable, "-P", str(RIGGED), f"port={advertised}", *moved])
            try:
                await self.ready()
                yield proxy
            finally:
                await self.mesh.refit(unit, command)
        await self.ready()

    async def ready(self) -> None:
        """Every model answers, twice in a row, so that none is out of service for what happened before."""
        models = [*SHARED, *map(solo, VICTIMS), *CROWD_MODELS]
        async with Clients(self.mesh.base_url) as clients:
            for model in models:
                await eventually(
                    lambda: _answers(clients, model),  # noqa: B023 - awaited before the next round
                    timeout=HEALTHY_SECONDS,
                    what=f"{model} in service",
                )


async def _answers(clients: Clients, model: str) -> bool:
    history = History()
    for _ in range(2):
        operation = history.begin(model, stream=False, client="raw")
        await clients.ask(operation)
        if not operation.ok:
            await asyncio.sleep(0.2)
            return False
    return True
