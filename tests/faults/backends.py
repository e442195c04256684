"""Fake backends that answer well, but for the requests a trap was set for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from faults.history import STREAMED, TOKENS
from support import fake_openai_modes as modes
from support.fake_openai import FakeOpenAI
from support.fake_openai_script import Answer, Mode
from support.fake_server import RecordedRequest
from support.openai_wire import Call

__all__ = ["Hits", "Trap", "forget", "healthy", "seen"]

INTERVAL = 0.03
"""Seconds between two tokens of a stream, unless a demand says otherwise."""

Hits = Mapping[tuple[str, bool], int]
"""By model and streaming, as its client asked for it: how many requests."""


def healthy(interval: float = INTERVAL) -> Mode:
    """Streams take their time, so that many are always under way; whole answers come at once."""
    streamed, whole = modes.ok(TOKENS, interval), modes.ok(TOKENS)

    def mode(call: Call) -> Answer:
        if (begun := _begun(call)) is not None:
            rest = "".join(call.token(number) for number in range(begun, TOKENS)).rstrip()
            return modes.ok(text=rest, interval=interval)(call)
        return streamed(call) if _is_for_stream(call) else whole(call)

    return mode


def _is_for_stream(call: Call) -> bool:
    """Whether the client streams. Its answer comes as a stream either way: whole ones are put together from one."""
    return str(call.body.get("user")).startswith(STREAMED)


def _begun(call: Call) -> int | None:
    """How many tokens of the answer the request already brings along; None when it asks for a whole one."""
    last = call.body["messages"][-1]
    return len(last["content"].split()) if last["role"] == "assistant" else None


class Trap:
    """A mode: the next requests it is armed for meet the fault, all others a good answer."""

    def __init__(self) -> None:
        self.bitten: list[str] = []
        self.refusal: Mode | None = None
        """What it says when asked to go on with somebody else's answer."""
        self._left: Counter[tuple[str, bool]] = Counter()
        self.healthy = self._fault = healthy()

    def arm(self, fault: Mode, hits: Hits) -> None:
        self.bitten = []
        self._fault, self._left = fault, Counter(hits)

    def disarm(self) -> None:
        self.refusal = None
        self._left.clear()

    @property
    def sprung(self) -> bool:
        """Whether it has met all it was armed for."""
        return not self._left.total()

    def __call__(self, call: Call) -> Answer:
        if self.refusal is not None and _begun(call) is not None:
            return self.refusal(call)
        key = (call.model, _is_for_stream(call))
        if self._left[key] <= 0:
            return self.healthy(call)
        self._left[key] -= 1
        self.bitten.append(str(call.body.get("user")))
        return self._fault(call)


def forget(fake: FakeOpenAI, kept: Collection[str]) -> None:
    """Of the requests that are over, those without one of the marks are not needed any more."""
    fake.requests[:] = [
        one for one in fake.requests if one.running or (one.body and one.body.get("user") in kept)
    ]


def seen(fake: FakeOpenAI) -> dict[str, list[RecordedRequest]]:
    """What a backend saw of each request of the run, by its mark."""
    calls: dict[str, list[RecordedRequest]] = {}
    for call in fake.calls:
        if call.body and (mark := call.body.get("user")):
            calls.setdefault(mark, []).append(call)
    return calls
