"""A mesh for an exam: of each case its own failing backend A, and healthy ones that offer the same model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from failover.cases import ROOM, Case
from failover.clients import READERS, Clients
from support.e2e_mesh import HELLO, serving
from support.fault_backend import FaultBackend, only_questions
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

__all__ = ["DEFAULT", "SHORT", "Metrics", "Seat", "Setting", "Stage", "staged"]

SAMPLE = re.compile(r"^(nexus_gateway_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
A_FIRST, B_NEXT = 1, 2
LOOK = 0.1


@dataclass(frozen=True)
class Setting:
    """The time limits of the mesh, and how long its clients wait for a whole request."""

    name: str
    config: str
    patience: float


SHORT = Setting("short", "[timeouts]\nconnect = 1\nfirst_token = 3\nstall = 3\ntotal = 40\n", 40.0)
DEFAULT = Setting("default", "", 60.0)


@dataclass(frozen=True)
class Seat:
    """Where a case is played: `model` is what is asked for, `other` the name B has it under."""

    case: Case
    model: str
    other: str
    a: FaultBackend
    b: FaultBackend

    @property
    def calls(self) -> tuple[int, int]:
        """How often A and B were asked so far."""
        return self.a.calls[self.model], self.b.calls[self.other]


@dataclass(frozen=True)
class Metrics:
    """Of the gateway."""

    samples: dict[str, float]

    def total(self, name: str, labels: str = "") -> float:
        """The sum over all that have these labels."""
        return sum(
            value for key, value in self.samples.items() if key.partition(" ")[0] == name and labels in key
        )


class Stage:
    """A mesh that serves all its seats. One request at a time, or metrics tell of more than was meant."""

    def __init__(self, mesh: LiveMesh, setting: Setting, seats: Sequence[Seat], clients: Clients) -> None:
        self.mesh = mesh
        self.setting = setting
        self.seats = seats
        self.clients = clients
        self.late = 0.0
        """Seconds this process itself stood still, at most, since that was last taken: B stands still with it."""

    async def watch_itself(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LOOK
            await asyncio.sleep(LOOK)
            self.late = max(self.late, clock() - due)

    def take_late(self) -> float:
        late, self.late = self.late, 0.0
        return late

    async def metrics(self) -> Metrics:
        async with aiohttp.ClientSession() as session, session.get(f"{self.mesh.http}/metrics") as answer:
            text = await answer.text()
        return Metrics({f"{name} {labels}": float(value) for name, labels, value in SAMPLE.findall(text)})


@asynccontextmanager
async def staged(home: Path, setting: Setting, cases: Sequence[Case]) -> AsyncIterator[Stage]:
    """A running stage with a seat for each of the cases, in their order."""
    async with AsyncExitStack() as stack:
        others = {
            "b": FaultBackend([]),
            "b-with-room": FaultBackend([]),
            "b-refuses-prefill": FaultBackend([], only_questions()),
            "b-differs": FaultBackend([], voice="another"),
        }
        seats: list[Seat] = []
        tables: list[str] = []
        fallbacks: dict[str, list[str]] = {}
        for number, case in enumerate(cases):
            model = f"{'resumed' if case.resume else 'exam'}-{number}"
            other = f"larger-{number}" if case.row.stands_in else model
            if other != model:
                fallbacks[model] = [other]
            a = await stack.enter_async_context(FaultBackend([model]))
            b = others[_other(case)]
            b.models = [*b.models, other]
            context = {"context_tokens": case.row.context} if case.row.context else {}
            tables.append(backend(f"a-{number}", a.url, priority=A_FIRST, **context))
            seats.append(Seat(case, model, other, a, b))
        for name, b in others.items():
            if b.models:
                await stack.enter_async_context(b)
                context = {"context_tokens": ROOM} if name == "b-with-room" else {}
                tables.append(backend(name, b.url, priority=B_NEXT, **context))
        routing = '[routing]\nresume = ["resumed-*"]\n[routing.fallbacks]\n'
        routing += "".join(f'"{model}" = {json.dumps(names)}\n' for model, names in fallbacks.items())
        config = "\n".join([setting.config, routing, *tables])
        models = [name for seat in seats for name in {seat.model, seat.other}]
        mesh = await stack.enter_async_context(serving(home, config, *models))
        clients = await stack.enter_async_context(Clients(mesh.base_url, setting.patience))
        for seat in seats:
            await eventually(
                lambda seat=seat: _knows_both(mesh, seat), timeout=30, what=f"both of {seat.model}"
            )
        for reader in READERS:  # the first request of a client takes long, and no case is to wait for that
            await clients.ask(reader, {"model": "nobody's", "messages": HELLO, "stream": False})
        stage = Stage(mesh, setting, seats, clients)
        watching = asyncio.create_task(stage.watch_itself())
        try:
            yield stage
        finally:
            watching.cancel()


def _other(case: Case) -> str:
    if case.row.context:
        return "b-with-room"
    return {"": "b", "refuses prefill": "b-refuses-prefill", "differs": "b-differs"}[case.row.other]


async def _knows_both(mesh: LiveMesh, seat: Seat) -> bool:
    """Whether the gateway has A and B for the model."""
    body: dict[str, Any] = {"model": seat.model, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{mesh.base_url}/route/explain"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        found = (await answer.json()).get("candidates", [])
    return [row["backend"][0] for row in sorted(found, key=lambda row: row["rank"]) if row["rank"]] == [
        "a",
        "b",
    ]
