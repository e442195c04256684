"""Correct answers with random faults in their bytes, repeatable by seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from support.fake_openai_script import (
    EVENT_STREAM,
    JSON_TYPE,
    Answer,
    Head,
    Mode,
    Send,
    Text,
    stream_steps,
    whole_body,
)
from support.openai_wire import Call

INSERTIONS = (b"\n\n", b"\r", b"\x00", b"{", b"data: ", b"\xff", b": x\n")

MUTATIONS: Sequence[Callable[[random.Random, bytes, int], bytes]] = (
    lambda rng, data, at: data[:at] + rng.randbytes(1) + data[at + 1 :],
    lambda rng, data, at: data[:at] + data[at + rng.randint(1, 40) :],
    lambda rng, data, at: data[:at] + data[at : at + rng.randint(1, 200)] * 2 + data[at:],
    lambda rng, data, at: data[:at] + rng.choice(INSERTIONS) + data[at:],
    lambda _, data, at: data[:at],
)
"""Change a byte, lose some, repeat some, insert something meaningful, cut the end off."""


def mutated(seed: int, tokens: int = 5, faults: int = 3) -> Mode:
    """One to `faults` mutations of an `ok(tokens)` answer, sent in chunks cut at random places."""

    def mode(call: Call) -> Answer:
        rng = random.Random(seed)
        data = correct_bytes(call, Text([f"tok{i} " for i in range(tokens)], "stop"))
        for _ in range(rng.randint(1, faults)):
            data = rng.choice(MUTATIONS)(rng, data, rng.randrange(len(data) + 1))
        content_type = EVENT_STREAM if call.stream else JSON_TYPE
        return Answer([Head(), *(Send(piece) for piece in cut(rng, data))], content_type=content_type)

    return mode


def correct_bytes(call: Call, text: Text) -> bytes:
    if not call.stream:
        return json.dumps(whole_body(call, text)).encode()
    return b"".join(step.data for step in stream_steps(call, text) if isinstance(step, Send))


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    places = [0, *sorted(rng.choices(range(len(data) + 1), k=rng.randint(0, 8))), len(data)]
    parts = [data[start:end] for start, end in pairwise(places)]
    return [part for part in parts if part]
