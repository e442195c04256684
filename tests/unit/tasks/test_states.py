"""The table against a model of it: any order of calls, leases that run out, claims that were taken away."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as some
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from nexus_mesh.core import MeshError, Reason
from nexus_tasks import DEADLINE, WORKER_LOST, Claim, Retry, State, TaskTable
from nexus_tasks.retries import delay
from support.properties import examples
from support.task_tables import KIND, TENANT, Clock, new, opened

T = TypeVar("T")

RETRIES = {"again": Retry(3, (0.0, 5.0), 0.0), WORKER_LOST: Retry(3, (0.0, 2.0), 0.0)}
LEASE = 10.0
OPEN = (State.WAITING, State.READY, State.RUNNING)
KINDS = (KIND, "other")
MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of commits, of which none needs a disk
FOLDER = MEMORY if MEMORY.is_dir() else None


@dataclass
class Expected:
    kind: str
    priority: int
    run_after: float
    deadline: float | None
    state: State
    payload: bytes
    attempt: int = 0
    lease_until: float = 0.0
    holder: Claim | None = None
    """The claim whose word counts."""
    last: Claim | None = None
    """The claim that ended it, or sent it back by failing."""
    completions: list[int] = field(default_factory=list)

    def order(self, number: int) -> tuple[int, float, int]:
        return self.priority, self.run_after, number


class Tasks(RuleBasedStateMachine):
    claims: Bundle[Claim] = Bundle("claims")
    numbers: Bundle[int] = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.stack = AsyncExitStack()
        self.expected: dict[int, Expected] = {}
        self.keys: dict[str, tuple[int, bytes]] = {}
        self.epochs: Counter[int] = Counter()

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)

    @initialize()
    def open(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(dir=FOLDER))
        opening = self.stack.enter_async_context(opened(Path(folder) / "tasks.db", self.clock, RETRIES))
        self.table: TaskTable = self.do(opening)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.loop.close()

    def _accept(
        self, number: int, kind: str, priority: int, after: float, deadline: float | None, text: bytes
    ) -> None:
        assert number not in self.expected
        state = State.WAITING if after > self.clock.now else State.READY
        self.expected[number] = Expected(kind, priority, after, deadline, state, text)

    @rule(
        target=numbers,
        kind=some.sampled_from(KINDS),
        priority=some.integers(-1, 1),
        after=some.sampled_from([0, 0, 0, 3, 20]),
        within=some.sampled_from([None, None, 15]),
    )
    def enqueue(self, kind: str, priority: int, after: float, within: float | None) -> int:
        run_after = self.clock.now + after
        deadline = None if within is None else self.clock.now + within
        text = f"{kind} {len(self.expected)}".encode()
        task = new(
            text, kind=kind, priority=priority, run_after=run_after if after else None, deadline=deadline
        )
        number = self.do(self.table.enqueue(task))
        self._accept(number, kind, priority, run_after, deadline, text)
        return number

    @rule(key=some.sampled_from("abc"), text=some.sampled_from([b"one", b"two"]))
    def enqueue_with_a_key(self, key: str, text: bytes) -> None:
        if key in self.keys and self.keys[key][1] != text:
            with pytest.raises(MeshError) as refused:
                self.do(self.table.enqueue(new(text, key=key)))
            assert refused.value.reason == Reason.CONFLICT
            return
        number, twin = self.do(self.table.enqueue_all([new(text, key=key), new(text, key=key)]))
        assert number == twin
        if key in self.keys:
            assert self.keys[key][0] == number
        else:
            self.keys[key] = number, text
            self._accept(number, KIND, 0, self.clock.now, None, text)

    @rule(seconds=some.sampled_from([0.5, 4, 11]))
    def time_passes(self, seconds: float) -> None:
        self.clock.move(seconds)

    def _sweep(self) -> None:
        for one in self.expected.values():
            if one.state in OPEN and one.deadline is not None and one.deadline <= self.clock.now:
                one.state, one.holder, one.last = State.FAILED, None, None
            elif one.state is State.RUNNING and one.lease_until <= self.clock.now:
                one.holder = one.last = None
                self._again(one, WORKER_LOST, 0.0)
            elif one.state is State.WAITING and one.run_after <= self.clock.now:
                one.state = State.READY

    def _again(self, one: Expected, reason: str, asked: float) -> None:
        wait = delay(RETRIES, reason, one.attempt, asked, lambda: 0.5)
        one.state = State.FAILED if wait is None else State.WAITING if wait > 0 else State.READY
        if wait is not None:
            one.run_after = self.clock.now + wait

    @rule(target=claims, limit=some.integers(1, 4), kinds=some.sampled_from([KINDS, KINDS[:1], KINDS[::-1]]))
    def claim(self, limit: int, kinds: tuple[str, ...]) -> Any:
        got = self.do(self.table.claim("w", kinds, limit=limit, lease=LEASE))
        self._sweep()
        ready = [
            number for number, one in self.expected.items() if one.state is State.READY and one.kind in kinds
        ]
        ready.sort(key=lambda number: self.expected[number].order(number))
        assert [claim.id for claim in got] == ready[:limit]
        for claim in got:
            one = self.expected[claim.id]
            one.state, one.holder, one.last = State.RUNNING, claim, None
            one.lease_until, one.attempt = self.clock.now + LEASE, one.attempt + 1
            assert (claim.payload, claim.attempt) == (one.payload, one.attempt)
            assert claim.epoch > self.epochs[claim.id], "an epoch never comes again"
            self.epochs[claim.id] = claim.epoch
        return multiple(*got)

    @rule(claim=claims, follows=some.booleans())
    def complete(self, claim: Claim, follows: bool) -> None:
        one, then = self.expected[claim.id], [new(b"next", kind="other")] if follows else []
        if one.holder == claim:
            made = self.do(self.table.complete(claim, b"done", then))
            assert made is not None
            for number in made:
                self._accept(number, "other", 0, self.clock.now, None, b"next")
            one.completions.append(claim.epoch)
            one.state, one.holder, one.last = State.SUCCEEDED, None, claim
        elif one.last == claim and one.state is State.SUCCEEDED:
            assert self.do(self.table.complete(claim, b"done", then)) is None
        else:
            self._refused(self.table.complete(claim, b"too late", then))

    @rule(claim=claims, reason=some.sampled_from(["again", "never"]), asked=some.sampled_from([0.0, 9.0]))
    def fail(self, claim: Claim, reason: str, asked: float) -> None:
        one = self.expected[claim.id]
        if one.holder == claim:
            one.holder, one.last = None, claim
            self._again(one, reason, asked)
            assert self.do(self.table.fail(claim, reason, retry_after=asked)) is one.state
        elif one.last == claim and one.state in (State.WAITING, State.READY, State.FAILED):
            assert self.do(self.table.fail(claim, reason, retry_after=asked)) is one.state
        else:
            self._refused(self.table.fail(claim, reason))

    @rule(claim=claims)
    def progress(self, claim: Claim) -> None:
        if self.expected[claim.id].holder == claim:
            self.do(self.table.progress(claim, 0.5, "half"))
            assert self.do(self.table.get(TENANT, claim.id)).progress == 0.5
        else:
            self._refused(self.table.progress(claim, 0.5))

    def _refused(self, call: Coroutine[Any, Any, object]) -> None:
        with pytest.raises(MeshError) as refused:
            self.do(call)
        assert refused.value.reason == Reason.CONFLICT

    @rule(first=claims, second=claims)
    def renew(self, first: Claim, second: Claim) -> None:
        asked = {(claim.id, claim.epoch): claim for claim in (first, second)}.values()
        held = {claim.id: claim.epoch for claim in self.do(self.table.renew([*asked], lease=LEASE))}
        for claim in asked:
            one = self.expected[claim.id]
            assert (held.get(claim.id) == claim.epoch) == (one.holder == claim)
            if one.holder == claim:
                one.lease_until = self.clock.now + LEASE

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        one = self.expected[claim.id]
        assert self.do(self.table.release([claim])) == (one.holder == claim)
        if one.holder == claim:
            one.state, one.holder, one.run_after, one.attempt = (
                State.READY,
                None,
                self.clock.now,
                one.attempt - 1,
            )
            one.last = claim

    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        one = self.expected[number]
        assert self.do(self.table.cancel("another", ids=[number])) == 0
        assert self.do(self.table.cancel(TENANT, ids=[number])) == (one.state in OPEN)
        if one.state in OPEN:
            one.state, one.holder, one.last = State.CANCELLED, None, None

    @rule(number=numbers)
    def redrive(self, number: int) -> None:
        one = self.expected[number]
        if one.state is not State.FAILED:
            self._refused(self.table.redrive(TENANT, number))
            return
        self.do(self.table.redrive(TENANT, number))
        one.state, one.attempt, one.run_after, one.deadline = State.READY, 0, self.clock.now, None
        one.last = None

    @rule()
    def sweep(self) -> None:
        self.do(self.table.sweep())
        self._sweep()

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "table"):
            return
        for task in self.do(self.table.listed(TENANT, limit=1000)):
            one = self.expected[task.id]
            assert (task.state, task.attempt, task.run_after) == (one.state, one.attempt, one.run_after), task
            assert (task.finish_time is None) == (task.state in OPEN)
            assert len(one.completions) == (task.state is State.SUCCEEDED), "applied once"
        states = Counter(one.state for one in self.expected.values())
        assert self.do(self.table.counts()) == {state: states[state] for state in State}

    @invariant()
    def nothing_late_is_running(self) -> None:
        if hasattr(self, "table") and self.expected:
            failed = self.do(self.table.listed(TENANT, state=State.FAILED, limit=1000))
            assert all(task.reason in (DEADLINE, WORKER_LOST, "again", "never") for task in failed)


TestTasks = Tasks.TestCase
TestTasks.settings = examples(60, steps=40)
