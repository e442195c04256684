"""Whatever happens in whatever order: never more than there is, never out of use, never two swaps in a window."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.types import Device, Key, Rules, State
from support.properties import examples

SIZES = {
    Key("one", "a"): 14,
    Key("two", "b"): 10,
    Key("one", "c"): 9,
    Key("two", "d"): 3,
    Key("one", "e"): 24,
}
KEYS = st.sampled_from(sorted(SIZES))
RESIDENCY = 60.0


class Engine(RuleBasedStateMachine):
    """Does what the ledger says, sooner or later, or fails at it; `users` and `waiting` are kept apart from its own."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = MemoryLedger(Device("gpu0", 25, headroom=1), Rules(RESIDENCY, idle_unload=600.0))
        self.now = 1000.0
        self.users: Counter[Key] = Counter()
        self.waiting: Counter[Key] = Counter()
        self.ready_at: dict[Key, float] = {}
        self.swaps: list[float] = []

    @rule(key=KEYS)
    def ask(self, key: Key) -> None:
        if self.ledger.enter(key, self.now):
            self.users[key] += 1
        else:
            self.waiting[key] += 1
            assert self.ledger.eta(key, SIZES[key], self.now) >= 0
            self.ledger.wait(key, SIZES[key], self.now)
            self.advance()

    @precondition(lambda self: +self.users)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(+self.users)))
        self.users[key] -= 1
        self.ledger.leave(key, self.now, 1.0)
        self.advance()

    @precondition(lambda self: +self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(+self.waiting)))
        self.waiting[key] -= 1
        self.ledger.give_up(key, self.now)
        self.advance()

    @rule(seconds=st.sampled_from([0.5, 10.0, 59.0, 60.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.advance()

    @precondition(lambda self: self.in_state(State.LOADING))
    @rule(data=st.data(), works=st.booleans())
    def end_load(self, data: st.DataObject, works: bool) -> None:
        key = data.draw(st.sampled_from(self.in_state(State.LOADING)))
        if works:
            self.ready_at[key] = self.now
            self.ledger.ready(key, self.now)
        else:
            self.ledger.failed(key, self.now)
            del self.waiting[key]
        self.advance()

    @precondition(lambda self: self.in_state(State.UNLOADING))
    @rule(data=st.data(), works=st.booleans())
    def end_unload(self, data: st.DataObject, works: bool) -> None:
        key = data.draw(st.sampled_from(self.in_state(State.UNLOADING)))
        (self.ledger.gone if works else self.ledger.stayed)(key, self.now)
        self.advance()

    @rule(key=KEYS)
    def prewarm(self, key: Key) -> None:
        before = {key: hold.state for key, hold in self.ledger.holds.items()}
        self.ledger.prewarm(key, SIZES[key], self.now)
        assert {key: self.ledger.holds[key].state for key in before} == before

    @rule(key=KEYS)
    def take_out(self, key: Key) -> None:
        assert not (self.ledger.take_out(key, self.now) and self.users[key])
        self.advance()

    @invariant()
    def never_more_than_there_is(self) -> None:
        assert self.ledger.reserved <= self.ledger.device.capacity
        assert self.ledger.reserved == sum(SIZES[key] for key in self.ledger.holds)

    @invariant()
    def everybody_is_counted_once(self) -> None:
        assert {key: hold.users for key, hold in self.ledger.holds.items() if hold.users} == +self.users
        assert {key: claim.requests for key, claim in self.ledger.claims.items()} == +self.waiting

    @invariant()
    def nobody_uses_what_is_not_ready(self) -> None:
        assert all(self.ledger.holds[key].state is State.READY for key in +self.users)

    @invariant()
    def whoever_fits_beside_nobody_is_not_kept_waiting(self) -> None:
        if not self.ledger.holds:
            assert not self.ledger.claims

    def in_state(self, state: State) -> list[Key]:
        return sorted(key for key, hold in self.ledger.holds.items() if hold.state is state)

    def advance(self) -> None:
        before = self.ledger.swaps
        moves = self.ledger.advance(self.now)
        if self.ledger.swaps > before:
            assert self.ledger.swaps == before + 1
            assert not self.swaps or self.now - self.swaps[-1] >= RESIDENCY
            self.swaps.append(self.now)
        for key in moves.unload:
            assert not self.users[key]
            assert self.now - self.ready_at[key] >= RESIDENCY
        for key in moves.admit:
            self.users[key] += self.waiting.pop(key)
        assert not set(moves.load) & set(moves.unload)


TestEngine = Engine.TestCase
TestEngine.settings = examples(150)
