"""Kills and freezes the workers and the owner of a task table at random; then nothing may be missing or done twice.

    python -m support.task_chaos --tasks 10000 --every 3 [--where FILE|URL] [--seed N]

Each task, when it completes, has another one accepted in the same transaction, without an idempotency key: the effect.
Whatever is applied twice leaves two. Processes are forked from this one, so that each is at work at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

from nexus_tasks import (
    FINAL,
    RETRIES,
    WORKER_LOST,
    Claim,
    Done,
    NewTask,
    Retry,
    State,
    TaskTable,
    open_tasks,
    work,
)

TENANT, KIND, EFFECT = "chaos", "unit", "effect"
LEASE = 1.0
WORKERS, SLOTS = 3, 8
CHUNK = 50
PAUSE = (0.02, 0.15)
"""Seconds that a task takes."""
FREEZES = 3
"""Each so-manieth blow freezes a worker for longer than its lease, so that it wakes up without one."""
PATIENT = {**RETRIES, WORKER_LOST: Retry(limit=1_000_000, delays=(0.0,))}
DONE = 0


async def own(where: Path | str, tasks: int, acknowledged: Path) -> None:
    """Has all accepted, and ends when none is open. Killed, it goes on after what it was last told is kept."""
    async with open_tasks(where, retries=PATIENT) as table:
        for at in range(CHUNK * acknowledged.stat().st_size, tasks, CHUNK):
            numbers = range(at, min(at + CHUNK, tasks))
            await table.enqueue_all(
                [NewTask(tenant=TENANT, kind=KIND, key=str(n), payload=b"%d" % n) for n in numbers]
            )
            with acknowledged.open("ab") as file:
                file.write(b".")
        while any(number for state, number in (await table.counts(kind=KIND)).items() if state not in FINAL):
            await asyncio.sleep(0.1)
            await table.sweep()


async def labour(where: Path | str, _: int, __: Path) -> None:
    async def handler(claim: Claim) -> Done:
        await asyncio.sleep(random.uniform(*PAUSE))
        effect = NewTask(tenant=TENANT, kind=EFFECT, payload=claim.payload)
        return Done(claim.payload[::-1], [effect])

    async with open_tasks(where, retries=PATIENT) as table:
        await work(table, f"worker {os.getpid()}", [KIND], handler, slots=SLOTS, lease=LEASE)


Role = Callable[[Path | str, int, Path], Coroutine[None, None, None]]


def fork(role: Role, where: Path | str, tasks: int, acknowledged: Path) -> int:
    child = os.fork()
    if child:
        return child
    random.seed(os.getpid())
    code = 1
    try:
        asyncio.run(role(where, tasks, acknowledged))
        code = DONE
    finally:
        os._exit(code)


def torment(
    where: Path | str, tasks: int, acknowledged: Path, every: float, dice: random.Random
) -> Counter[str]:
    """Until the owner has seen the end: what was done to whom."""
    roles: dict[int, Role] = {}
    blows: Counter[str] = Counter()

    def start(role: Role) -> None:
        roles[fork(role, where, tasks, acknowledged)] = role

    try:
        for role in (own, *[labour] * WORKERS):
            start(role)
        next_blow = time.monotonic() + every
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended:
                role = roles.pop(ended)
                if role is own and os.waitstatus_to_exitcode(status) == DONE:
                    return blows
                blows["died by itself"] += not os.WIFSIGNALED(status)
                start(role)
            elif time.monotonic() < next_blow:
                time.sleep(0.01)
            else:
                strike(roles, blows, dice)
                next_blow = time.monotonic() + every * dice.uniform(0.5, 1.5)
    finally:
        for child in roles:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def strike(roles: dict[int, Role], blows: Counter[str], dice: random.Random) -> None:
    freezing = blows.total() % FREEZES == FREEZES - 1
    victim = dice.choice(
        [
            child
            for child, role in sorted(roles.items(), key=lambda one: one[0])
            if role is labour or not freezing
        ]
    )
    if freezing:
        os.kill(victim, signal.SIGSTOP)
        time.sleep(LEASE * 1.5)
        os.kill(victim, signal.SIGCONT)
    else:
        os.kill(victim, signal.SIGKILL)
    blows[f"{'froze' if freezing else 'killed'} {roles[victim].__name__}"] += 1


async def everything(table: TaskTable) -> list[tuple[str, State, bytes, bytes | None, int]]:
    found: list[tuple[str, State, bytes, bytes | None, int]] = []
    after = 0
    while page := await table.listed(TENANT, after=after, limit=1000):
        for task in page:
            payload, result = await table.payload(TENANT, task.id), await table.result(TENANT, task.id)
            found.append((task.kind, task.state, payload, result, task.attempt))
        after = page[-1].id
    return found


async def judge(where: Path | str, tasks: int) -> list[str]:
    """What is wrong."""
    async with open_tasks(where) as table:
        found = await everything(table)
    wanted = Counter(b"%d" % number for number in range(tasks))
    units = [one for one in found if one[0] == KIND]
    effects = Counter(payload for kind, _, payload, _, _ in found if kind == EFFECT)
    again = sum(attempt > 1 for *_, attempt in units)
    print(f"{len(units)} tasks, {again} of them tried more than once, {effects.total()} effects", flush=True)
    wrong = {
        "lost": wanted - Counter(payload for _, _, payload, _, _ in units),
        "accepted twice": Counter(payload for _, _, payload, _, _ in units) - wanted,
        "not done": Counter(payload for _, state, payload, _, _ in units if state is not State.SUCCEEDED),
        "with another's result": Counter(
            payload for _, _, payload, result, _ in units if result != payload[::-1]
        ),
        "not applied": wanted - effects,
        "applied twice": effects - wanted,
    }
    return [f"{many.total()} {what}: {sorted(many)[:5]}" for what, many in wrong.items() if many]


def run(where: Path | str, tasks: int, every: float, seed: int) -> bool:
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="nexus-acknowledged-") as acknowledged:
        blows = torment(where, tasks, Path(acknowledged.name), every, random.Random(seed))
    told = ", ".join(f"{what} {times}" for what, times in sorted(blows.items()) if times)
    print(f"seed {seed}: {time.monotonic() - began:.0f} s; {told}", flush=True)
    wrong = asyncio.run(judge(where, tasks))
    print(*wrong or ["none lost, none applied twice"], sep="\n", flush=True)
    return not wrong and sum(times for what, times in blows.items() if "killed" in what) >= 3


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m support.task_chaos", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between blows, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--where", help="an empty table: a file, or a postgresql:// URL (default: SQLite, then PostgreSQL)"
    )
    arguments = parser.parse_args()
    if arguments.where:
        return not run(arguments.where, arguments.tasks, arguments.every, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="nexus-chaos-") as folder:
        held = run(Path(folder) / "tasks.db", arguments.tasks, arguments.every, arguments.seed)
        from support.postgres import served

        with served() as url:
            held &= run(url, arguments.tasks, arguments.every, arguments.seed)
    return not held


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
