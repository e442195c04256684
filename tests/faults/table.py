"""The faults, as data: how each is made, what makes it safe, how to take that away, and what must be seen of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from faults.history import TOKENS
from faults.injectors import (
    Injector,
    adapter_killed,
    backend_flaps,
    cut_and_asked_to_go_on,
    dies,
    drawn,
    frozen,
    half_open_adapter,
    half_open_backend,
    met,
    stalls,
)
from support import fake_openai_modes as modes
from support.fake_openai_garbage import garbage
from support.openai_wire import error_body

__all__ = ["FAULTS", "Fault"]

OK = frozenset({"ok"})


@dataclass(frozen=True)
class Seen:
    """The outcomes (Operation.outcome) a request may have."""

    unary: frozenset[str] = OK
    stream: frozenset[str] = OK

    def by(self, stream: bool) -> frozenset[str]:
        return self.stream if stream else self.unary


def sees(unary: str = "ok", stream: str | None = None) -> Seen:
    """Outcomes separated by ` | `; a stream's are the same unless given."""
    return Seen(frozenset(unary.split(" | ")), frozenset((stream or unary).split(" | ")))


@dataclass(frozen=True)
class Fault:
    """One row.

    `solo` and `pair`: what the requests that met the fault may look like where there is no other backend, and where
    there is one. `others`: what the rest of the requests on the victim's models may look like meanwhile. `must`: what
    at least one request on the victim's own model must look like, or the fault was not there (only for faults of
    processes and links: of the others every single request that met them is known). `once`: the backend's word is
    final, nobody else may be asked. `most`: times one backend may be asked for the same. `let_go`: the backend must see
    that nobody waits for it any more.
    """

    name: str
    inject: Injector
    guard: str
    switch: str
    solo: Seen
    pair: Seen = field(default_factory=Seen)
    others: frozenset[str] = OK
    must: tuple[str, ...] = ()
    retry_after: str | None = None
    once: bool = False
    most: int = 1
    let_go: bool = False
    whole_adapter: bool = False
    """Whether all that is behind the victim's adapter meets it: its share of the crowd looks like `solo`."""
    far_adapter: bool = False
    """Whether the gateway has to reach the victim's adapter through a wire of its own."""


RATE = error_body("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded")
TOO_LONG = error_body(
    "This model's maximum context length is 4096 tokens.", code="context_length_exceeded", param="messages"
)
FILTERED = error_body(
    "The response was filtered due to the prompt triggering the content management policy.",
    code="content_filter",
    param="prompt",
)
STREAMS = (True,)

RETRIED = "another backend is asked for as long as nothing has reached the client"
TOLD = "a broken stream ends with an error event and no [DONE]"
FINAL = "what the backend says of the request itself is not asked of another one"
LIMITS = "silence is limited in the adapter and, apart from it, in the gateway"
GONE = "503 backend_down"

FAULTS: tuple[Fault, ...] = (
    Fault("429 with Retry-After", met(modes.rate_limited("2")), RETRIED, "no failover",
          sees("429 rate_limit_exceeded"), others=OK | {"429 rate_limit_exceeded"}, retry_after="2"),
    Fault("429 without Retry-After", met(modes.error(429, RATE)), RETRIED, "no failover",
          sees("429 rate_limit_exceeded"), others=OK | {"429 rate_limit_exceeded"}, retry_after="1"),
    Fault("500", met(modes.error(500)), RETRIED, "no failover", sees("502 upstream_error")),
    Fault("503", met(modes.error(503, b"")), RETRIED, "no failover", sees(GONE), others=OK | {GONE}),
    Fault("reset before the answer", met(modes.drop(reset=True)), RETRIED, "no failover", sees("502 backend_lost")),
    Fault("closed before the answer", met(modes.drop()), RETRIED, "no failover", sees("502 backend_lost")),
    # B8: whole answers are read as streams, so that a silent backend is given up in time to ask another.
    Fault("no answer", met(modes.hang_accept(), ), LIMITS, "no time limits", sees("504 stream_idle_timeout"),
          let_go=True),
    Fault("slow first token", met(modes.slow_first_token(60), kinds=STREAMS), LIMITS, "no time limits",
          sees("ok", "504 stream_idle_timeout"), let_go=True),
    Fault("slow first token, no head", met(modes.slow_first_token(60, head_first=False), kinds=STREAMS), LIMITS,
          "no time limits", sees("ok", "504 stream_idle_timeout"), let_go=True),
    Fault("cut in mid-stream by a close", drawn(dies("close")), TOLD, "errors look done",
          sees("502 backend_lost", "broken stream_interrupted"), sees("ok", "broken stream_interrupted")),
    Fault("cut in mid-stream by a reset", drawn(dies("reset")), TOLD, "errors look done",
          sees("502 backend_lost", "broken stream_interrupted"), sees("ok", "broken stream_interrupted")),
    Fault("ended too early", drawn(dies("end")), "only a finish reason ends an answer", "any end is good",
          sees("502 backend_lost", "broken stream_interrupted"), sees("ok", "broken stream_interrupted")),
    Fault("stall", drawn(stalls, kinds=STREAMS), LIMITS, "no time limits",
          sees("ok", "broken stream_idle_timeout"), sees("ok", "broken stream_idle_timeout"), let_go=True),
    Fault("malformed chunk", met(garbage("broken_json", after=3)), TOLD, "errors look done",
          sees("502 upstream_malformed", "broken upstream_malformed"), sees("ok", "broken upstream_malformed")),
    Fault("half an event", met(garbage("half_event", after=3)), TOLD, "errors look done",
          sees("502 backend_lost", "broken stream_interrupted"), sees("ok", "broken stream_interrupted")),
    Fault("error in mid-stream and [DONE]",
          met(modes.stream_error(error_body("died", "server_error"), 3, done=True, pause=0.3), kinds=STREAMS),
          TOLD, "errors look done", sees("ok", "broken upstream_error"), sees("ok", "broken upstream_error")),
    Fault("no [DONE]", met(garbage("no_done", after=TOKENS), kinds=STREAMS), "the gateway writes its own end mark",
          "no end mark", sees()),
    Fault("no finish reason", met(garbage("no_finish_reason", after=TOKENS)), "only a finish reason ends an answer",
          "any end is good", sees("502 upstream_malformed", "broken upstream_malformed"),
          sees("ok", "broken upstream_malformed")),
    Fault("wrong usage", met(garbage("wrong_usage", after=TOKENS)), "sums are our own", "wrong sums", sees()),
    Fault("usage below zero", met(garbage("negative_usage", after=TOKENS)), "what is no count is not told",
          "any number is a count", sees()),
    Fault("context too long", met(modes.error(400, TOO_LONG)), FINAL, "refusals are retried",
          sees("400 context_length_exceeded"), sees("400 context_length_exceeded"), once=True),
    Fault("content filter refuses", met(modes.error(400, FILTERED)), FINAL, "refusals are retried",
          sees("400 content_filter"), sees("400 content_filter"), once=True),
    Fault("content filter in the first event", met(modes.stream_error(FILTERED, after=0), kinds=STREAMS), FINAL,
          "refusals are retried", sees("ok", "400 content_filter"), sees("ok", "400 content_filter"), once=True),
    Fault("content filter stops", met(modes.ok(3, finish_reason="content_filter")), "its finish reason is passed on",
          "a filtered answer is whole", sees("ok content_filter"), sees("ok content_filter"), once=True),
    Fault("cut and gone on with", cut_and_asked_to_go_on(), "the other backend goes on where policy allows it",
          "no failover", sees(), sees()),
    Fault("cut and its prefill rejected",
          cut_and_asked_to_go_on(modes.error(400, error_body("Cannot continue the final message."))),
          "the other backend begins anew where it does not go on", "no failover", sees(), sees(), most=2),
    Fault("backend flaps", backend_flaps, RETRIED, "no failover",
          sees(f"ok | {GONE} | 502 backend_lost", f"ok | {GONE} | 502 backend_lost | broken stream_interrupted"),
          sees("ok", "ok | broken stream_interrupted"), must=(GONE,)),
    Fault("adapter killed", adapter_killed, TOLD, "errors look done",
          sees(f"ok | {GONE}", f"ok | {GONE} | broken stream_interrupted"),
          sees("ok", "ok | broken stream_interrupted"), must=(GONE, "broken stream_interrupted"), whole_adapter=True),
    Fault("adapter frozen", frozen, LIMITS, "no time limits",
          sees(f"ok | {GONE} | 504 timeout",
               f"ok | {GONE} | 504 stream_idle_timeout | broken stream_idle_timeout | broken stream_interrupted"),
          sees("ok | 504 timeout", "ok | broken stream_idle_timeout | broken stream_interrupted"),
          must=("broken stream_idle_timeout",), whole_adapter=True),
    Fault("half-open link to a backend", half_open_backend, LIMITS, "no time limits",
          sees(f"ok | {GONE} | 504 stream_idle_timeout",
               f"ok | {GONE} | 504 stream_idle_timeout | broken stream_idle_timeout"),
          sees("ok | 504 stream_idle_timeout", "ok | broken stream_idle_timeout"),
          must=("504 stream_idle_timeout", "broken stream_idle_timeout")),
    Fault("half-open link to an adapter", half_open_adapter, LIMITS, "no time limits",
          sees(f"ok | {GONE} | 504 timeout",
               f"ok | {GONE} | 504 stream_idle_timeout | broken stream_idle_timeout | broken stream_interrupted"),
          sees("ok | 504 timeout", "ok | broken stream_idle_timeout | broken stream_interrupted"),
          must=("broken stream_idle_timeout",), whole_adapter=True, far_adapter=True),
)  # fmt: skip
