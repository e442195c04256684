"""One request on its way down the pipeline and up again: what each step found out for the next."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError
from nexus_mesh.settings import Timeouts
from nexus_routing import Candidate, Plan, Requirements, Table

from nexus_gateway.access import Share
from nexus_gateway.core.request import InferenceRequest

__all__ = ["CANDIDATES", "RequestContext"]

CANDIDATES = 5
"""That are planned, more than are asked: of those that are left when one fails, some may have failed since."""
Signed = inference_pb2.CompleteResponse | inference_pb2.StreamResponse | inference_pb2.CountTokensResponse

encode = msgspec.json.Encoder().encode

LEAST_BYTES = 2
"""Of a body for a token, on the average of any prompt worth counting."""


@dataclass(slots=True)
class Outcome:
    """How it ended. `first_content`: seconds from the start; None when nothing was streamed."""

    usage: inference_pb2.Usage | None = None
    estimated: bool = False
    """Whether the usage is by chunks and bytes, for want of a backend's word."""
    chunks: int = 0
    """Of a stream, handed on so far."""
    first_content: float | None = None
    error: MeshError | None = None
    finished: bool = False

    @property
    def name(self) -> str:
        """ok, the reason of the error in lower case, or cancelled when the client left."""
        if self.error is not None:
            return self.error.reason.value.lower()
        return "ok" if self.finished else "cancelled"


@dataclass(slots=True)
class RequestContext:
    """Times are monotonic seconds.

    `candidate` and `served` are whoever was tried last. `counted`: tokens of the prompt, 0 = nobody has counted them.
    `waited`: seconds until there was a place for it.
    """

    request: InferenceRequest
    limits: Timeouts
    dry: bool = False
    """Whether only the plan is wanted, and nothing is to be sent."""
    started: float = field(default_factory=time.monotonic)
    requirements: Requirements = field(init=False)
    plan: Plan | None = None
    scrubbed: Counter[str] | None = None
    """Places replaced, by kind, once the request may leave its privacy zone; None = it may not."""
    opened: Table | None = None
    """The table without the zones it may leave, while it is planned to."""
    attempts: int = 0
    candidate: Candidate | None = None
    served: inference_pb2.Served | None = None
    counted: int = 0
    room: int = 0
    """Tokens of context it needs, counted; 0 = not known."""
    waited: float = 0.0
    hedge_after: float = 0.0
    """Seconds after which a second candidate is asked as well for a whole answer; 0 = never."""
    hedged: str = ""
    """Id of the candidate that was."""
    continued: JsonObject | None = None
    """The body that goes on with a cut answer, once it has been."""
    resuming: bool = False
    """Whether it is a cut answer that is asked for, its rest or all of it again."""
    resumed: int = 0
    """How often that was done."""
    outcome: Outcome = field(default_factory=Outcome)
    _bodies: dict[str, str] = field(default_factory=dict)
    _written: JsonObject | None = None

    def body_for(self, model: str) -> str:
        """What travels on, JSON text: under the name of the model that is to answer, not an alias."""
        if self.continued is not None:
            return encode({**self.continued, "model": model}).decode()
        if self._written is not self.request.body:
            # Scrubbed since: nothing that was written before may travel any more.
            self._written, self._bodies = self.request.body, {}
        body = self._bodies.get(model)
        if body is None:
            body = self._bodies[model] = encode({**self.request.body, "model": model}).decode()
        return body

    @property
    def chosen(self) -> Plan:
        """The plan, behind the step that makes one."""
        assert self.plan is not None  # noqa: S101 - a mistake of ours, not of a request
        return self.plan

    @property
    def tenant(self) -> Share:
        """Whose share of the places it takes."""
        principal = self.request.principal
        return Share(principal.tenant, principal.weight)

    @property
    def left(self) -> float:
        """Seconds left of the total time, at least 0."""
        return max(0.0, self.started + self.limits.total - time.monotonic())

    @property
    def may_be_too_long(self) -> bool:
        """Whether the prompt may not fit the first candidate. One comparison for all that are not long."""
        context = self.chosen.candidates[0].model.context_tokens
        if not context or 0 < self.request.size <= LEAST_BYTES * context:
            return False
        return self.request.prompt.most > context

    def sign(self, answer: Signed) -> None:
        """Writes down who answered: the model by the adapter's word, everything else as we know it ourselves."""
        if self.served is not None:
            self.served.model = answer.served.model or self.served.model
            answer.served.CopyFrom(self.served)

    @property
    def cost(self) -> float | None:
        """US dollars, by the usage and the price of whoever served last; None while the usage is not known."""
        if self.outcome.usage is None or self.candidate is None:
            return None
        return self.candidate.price.cost(
            self.outcome.usage.prompt_tokens, self.outcome.usage.completion_tokens
        )
