"""The mesh the faults are played on: two adapters, each with a backend of its own, and traffic through both."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from faults.backends import Trap, healthy
from faults.clients import FIRST_TOKEN, STALL, TOTAL, Clients
from faults.history import History
from faults.rigged import SWITCHES
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.processes import free_port
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = ["ADAPTERS", "CROWD", "PAIR", "RESUMED", "SHARED", "Scene", "playing", "solo"]

ADAPTERS = {"a": "adapter", "b": "adapter-other"}
"""The process each victim lives in."""
ZONES = {"a": "default", "b": "other"}
PAIR = "pair"
"""The model both backends offer; `solo-a` and `solo-b` are offered by one each."""
RESUMED = "resumed"
"""The same, and a cut stream of it may be gone on with by the other backend."""
SHARED = (PAIR, RESUMED)
CROWD = 20
"""Backends with a model of their own, `crowd-0` and on, half of them behind each adapter: one for each worker."""

LIMITS = f"[timeouts]\nfirst_token = {FIRST_TOKEN}\nstall = {STALL}\ntotal = {TOTAL}\n"
NO_LIMITS = "[timeouts]\nfirst_token = 900\nstall = 900\ntotal = 1800\n"
ROUTING = f'[routing]\nresume = ["{RESUMED}"]\n'
CAPABILITIES = ["tools", "json", "logprobs", "choices", "tool_choice", "prefill"]
PAUSE = 0.1
LOOPS = {False: {PAIR: 3, "solo-a": 2, "solo-b": 2}, True: {PAIR: 3, RESUMED: 2, "solo-a": 2, "solo-b": 2}}
"""By streaming and model: how many clients ask again and again."""

HEALTHY_SECONDS = 90.0
"""The router believes a backend that fell three times in a minute only after 30 seconds."""
RIGGED = Path(__file__).with_name("rigged.py")


def solo(victim: str) -> str:
    return f"solo-{victim}"


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
        crowd.mode = healthy()
        self._switch: str | None = None
        self._undo = AsyncExitStack()
        self.traps = {victim: Trap() for victim in fakes}
        for victim, fake in fakes.items():
            fake.mode = self.traps[victim]

    @asynccontextmanager
    async def traffic(self, rng: random.Random) -> AsyncIterator[History]:
        """Requests of both kinds on all models until the block is left; every one has ended then."""
        history, stop = History(), asyncio.Event()
        for fake in (*self.fakes.values(), self.crowd):
            fake.requests.clear()
        async with Clients(self.mesh.base_url) as clients:

            async def keep_asking(model: str, stream: bool, kinds: list[str]) -> None:
                for kind in itertools.cycle(kinds):
                    if stop.is_set():
                        return
                    await clients.ask(history.begin(model, stream, kind))
                    await asyncio.sleep(rng.uniform(0.5, 1.5) * PAUSE)

            async with asyncio.TaskGroup() as group:
                for stream, loops in LOOPS.items():
                    for model, count in loops.items():
                        for _ in range(count):
                            kinds = rng.sample(["raw", "sdk"], 2)
                            group.create_task(keep_asking(model, stream, kinds))
                try:
                    yield history
                finally:
                    stop.set()

    async def loaded(self, history: History, pause: float) -> None:
        """R1: there was traffic before the fault, and streams are under way `pause` seconds later.

        TimeoutError: the run is void.
        """

        def enough() -> bool:
            good = history.good()
            return good[PAIR, False] >= 20 and all(
                good[solo(victim), stream] >= 2 for victim in self.fakes for stream in (False, True)
            )

        await eventually(enough, timeout=HEALTHY_SECONDS, what="enough traffic before the fault")
        await asyncio.sleep(pause)
        await eventually(lambda: history.running(stream=True) >= 4, what="four streams under way")

    async def healthy(self, history: History, since: float, each: int) -> None:
        """R2: of the requests begun after `since`, so many of every kind on every model ended well."""

        def enough() -> bool:
            good = history.good(since)
            return all(good[model, stream] >= each for stream, loops in LOOPS.items() for model in loops)

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
                for call in self.fakes[victim].calls[-50:]
                if call.body and call.body.get("stream")
            )

        await eventually(under_way, timeout=30, what="a stream under way")

    async def switch_to(self, switch: str | None) -> None:
        """Puts one guard of the services out of order; None = all as they are."""
        if switch == self._switch:
            return
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
        models = [*SHARED, *map(solo, self.fakes), *(f"crowd-{number}" for number in range(CROWD))]
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


@asynccontextmanager
async def playing(home: Path) -> AsyncIterator[Scene]:
    """A scene whose mesh runs and serves everything."""
    crowd_names = [f"crowd-{number}" for number in range(CROWD)]
    async with AsyncExitStack() as stack:
        fakes = {
            victim: await stack.enter_async_context(FakeOpenAI(solo(victim), *SHARED)) for victim in ADAPTERS
        }
        links = {
            victim: await stack.enter_async_context(TcpProxy(f"127.0.0.1:{fake.port}"))
            for victim, fake in fakes.items()
        }
        crowd = await stack.enter_async_context(FakeOpenAI(*crowd_names))
        crowd_links = {
            victim: await stack.enter_async_context(TcpProxy(f"127.0.0.1:{crowd.port}")) for victim in fakes
        }
        tables = [
            backend(f"box-{victim}", f"http://{link.endpoint}", zone=ZONES[victim], capabilities=CAPABILITIES)
            for victim, link in links.items()
        ]
        tables += [
            backend(name, f"http://{crowd_links[victim].endpoint}", zone=ZONES[victim], models=[name])
            for name, victim in zip(crowd_names, itertools.cycle(ADAPTERS), strict=False)
        ]
        config = "\n".join([LIMITS, ROUTING, *tables])
        mesh = await stack.enter_async_context(
            serving(home, config, *SHARED, *map(solo, ADAPTERS), *crowd_names)
        )
        scene = Scene(mesh, fakes, links, crowd, crowd_links)
        await scene.ready()
        yield scene
