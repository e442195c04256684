"""How faults are made. An injector returns when its fault is over, with the marks of the requests that met it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.backends import Hits
from faults.clients import BOUND, FIRST_TOKEN
from faults.history import TOKENS, History
from faults.models import ADAPTERS, PAIR, RESUMED, solo
from faults.scene import Scene
from support import fake_openai_modes as modes
from support.fake_openai_script import Death, Mode
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = [
    "Injection",
    "Injector",
    "adapter_killed",
    "backend_flaps",
    "cut_and_asked_to_go_on",
    "dies",
    "drawn",
    "frozen",
    "half_open_adapter",
    "half_open_backend",
    "met",
    "stalls",
]

LATE = 0.3
"""Seconds between the last token and a death: what was sent must have arrived, and no limit may have passed."""


IN_A_ROW = 4
"""Failures a backend may have without being put out of service."""


@dataclass(frozen=True)
class Injection:
    """What an injector works with. `wire` leads to the victim's adapter, if it was moved to behind one."""

    scene: Scene
    victim: str
    rng: random.Random
    history: History
    wire: TcpProxy | None = None


Injector = Callable[[Injection], Awaitable["list[str] | None"]]
"""None: it is not known which requests met it; all of the victim's while it lasted may have."""


def dies(how: Death) -> Callable[[random.Random], Mode]:
    """In mid-stream, after any number of tokens, at any byte of an event."""
    return lambda rng: modes.die_after(
        rng.randint(1, TOKENS - 1), how, at_byte=rng.choice((0, rng.randint(1, 60))), pause=LATE
    )


def stalls(rng: random.Random) -> Mode:
    return modes.stall_after(rng.randint(1, TOKENS - 1))


def met(fault: Mode, *, kinds: tuple[bool, ...] = (False, True), each: int = 1) -> Injector:
    """The victim's next `each` requests of each kind (whole answers, streams) on each of its models meet `fault`.

    Never as many failures in a row as put a backend out of service, so that every other request is served.
    """
    return drawn(lambda _: fault, kinds=kinds, each=each)


def drawn(
    fault: Callable[[random.Random], Mode], *, kinds: tuple[bool, ...] = (False, True), each: int = 1
) -> Injector:
    """The same for a fault that is drawn by lot."""

    async def inject(injection: Injection) -> list[str]:
        mode, models = fault(injection.rng), (solo(injection.victim), PAIR)
        rounds = [models] if each * len(kinds) * len(models) <= IN_A_ROW else [(model,) for model in models]
        marks: list[str] = []
        for models in rounds:
            await injection.scene.answered(injection.victim, injection.history)
            hits = {(model, stream): each for model in models for stream in kinds}
            marks += await _spring(injection, mode, hits)
        return marks

    return inject


async def _spring(injection: Injection, mode: Mode, hits: Hits) -> list[str]:
    """Sets the victim's trap, and waits for the end of what fell into it."""
    trap, history = injection.scene.traps[injection.victim], injection.history
    trap.arm(mode, hits)
    try:
        await eventually(lambda: trap.sprung, timeout=30, what="the fault met by every kind of request")
    finally:
        trap.disarm()
    marks = [*trap.bitten]
    await eventually(
        lambda: all(one.ended for one in history.of(marks)), 2 * BOUND, "the end of what met the fault"
    )
    return marks


def cut_and_asked_to_go_on(refusal: Mode | None = None) -> Injector:
    """A stream that may be resumed is cut. The other backend is good for the rest, or gives this answer instead."""

    async def inject(injection: Injection) -> list[str]:
        (other,) = injection.scene.traps.keys() - {injection.victim}
        injection.scene.traps[other].refusal = refusal
        try:
            return await _spring(injection, dies("close")(injection.rng), {(RESUMED, True): 2})
        finally:
            injection.scene.traps[other].disarm()

    return inject


async def backend_flaps(injection: Injection) -> None:
    """Its process goes down and comes back, three times."""
    fake = injection.scene.fakes[injection.victim]
    await injection.scene.streaming(injection.victim)
    for _ in range(3):
        port = fake.port
        await fake.stop()
        await asyncio.sleep(injection.rng.uniform(0.3, 0.6))
        await fake.start(port)
        await asyncio.sleep(injection.rng.uniform(0.3, 0.6))


async def adapter_killed(injection: Injection) -> None:
    mesh, unit = injection.scene.mesh, ADAPTERS[injection.victim]
    await injection.scene.streaming(injection.victim)
    mesh.kill(unit)
    await asyncio.sleep(injection.rng.uniform(0.5, 1.5))
    mesh.revive(unit)


async def frozen(injection: Injection) -> None:
    """Until what was asked before and meanwhile has run into its limits."""
    mesh, unit = injection.scene.mesh, ADAPTERS[injection.victim]
    await injection.scene.streaming(injection.victim)
    mesh.kill(unit, by=signal.SIGSTOP)
    try:
        await _limits_passed(injection)
    finally:
        mesh.kill(unit, by=signal.SIGCONT)
        mesh.revive(unit)


async def half_open_backend(injection: Injection) -> None:
    await _dead_wire(injection, injection.scene.links[injection.victim])


async def half_open_adapter(injection: Injection) -> None:
    assert injection.wire is not None
    await _dead_wire(injection, injection.wire)


async def _dead_wire(injection: Injection, wire: TcpProxy) -> None:
    await injection.scene.streaming(injection.victim)
    wire.die()
    await asyncio.sleep(FIRST_TOKEN / 2)
    wire.join()
    await _limits_passed(injection)


async def _limits_passed(injection: Injection) -> None:
    """Every request that was under way, and one of each kind begun since, is over."""
    history, model = injection.history, solo(injection.victim)
    before = [one for one in history.operations if one.ended is None]
    count = len(history.operations)

    def over() -> bool:
        since = [one for one in history.operations[count:] if one.model == model and one.ended]
        return all(one.ended for one in before) and {one.stream for one in since} == {False, True}

    await eventually(over, timeout=2 * BOUND, what="the end of what met the fault")
