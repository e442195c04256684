"""One request: what is asked, and on its way down the pipeline and up again what each step found out for the next."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError
from nexus_mesh.settings import Timeouts
from nexus_operations import Size, Spec, affinity, measure, spec_of
from nexus_routing import Candidate, Plan, Requirements, Table

from nexus_gateway.access import Principal, Share
from nexus_gateway.core.files import Files
from nexus_gateway.core.packed import LARGE, Packed
from nexus_gateway.core.priority import Priority

__all__ = ["CANDIDATES", "RequestContext"]


@dataclass(slots=True)
class InferenceRequest:
    """One checked request. `body` is what travels on; it is never read again from the client's bytes.

    Of a packed one it is made anew each time it is asked for: ask once, and let go of it.
    """

    operation: int
    """A value of nexus.types.v1.Operation."""
    model: str
    """As the client named it."""
    body: JsonObject
    stream: bool
    include_usage: bool
    needs: frozenset[int]
    """Values of nexus.types.v1.Capability the request cannot do without."""
    request_id: str
    principal: Principal
    """Who asks."""
    zone: str | None = None
    """The privacy zone the client demands; who asks, and policy, may demand others besides."""
    priority: Priority = Priority.NORMAL
    asked: Mapping[int, str] = field(default_factory=dict)
    """Which parameter, as it was sent, asks for a capability."""
    granted: Sequence[str] = ()
    """Parameters beyond the tables that go to the backend all the same, once the pipeline has said so."""
    answers: int = 1
    """How many choices, or embedding vectors, a whole answer has."""
    base64: bool = False
    """Whether the client wants embedding vectors as base64; the mesh itself always carries numbers."""
    size: int = 0
    """Bytes of JSON it came in, never fewer than its text has; 0 = not known."""

    files: Files | None = None
    """What comes beside the body."""

    packed: Packed | None = field(default=None, init=False, repr=False)

    def pack(self) -> None:
        """Lets go of a large body's tree."""
        if self.size >= LARGE:
            self.packed = Packed(self.operation, self.body)
            del self.body

    def let_go(self) -> None:
        """A large body is not needed any more, nor files. An error's traceback may keep the rest for a while."""
        if self.files is not None:
            self.files.close()
        if self.packed is not None:
            self.packed, self.body = None, {}

    def __getattr__(self, name: str) -> Any:
        if name == "body" and self.packed is not None:
            return self.packed.read(self.model)
        raise AttributeError(name)

    @property
    def is_packed(self) -> bool:
        """Whether it travels as it was packed; not when its body was replaced since."""
        try:
            object.__getattribute__(self, "body")
        except AttributeError:
            return True
        return False

    @property
    def outline(self) -> JsonObject:
        """The body's parameters, at no cost: of a large one's lists, maps and texts only whether there is any."""
        return self.body if self.packed is None else self.packed.outline

    @property
    def spec(self) -> Spec:
        """What is known of its kind of work."""
        return spec_of(self.operation)

    @property
    def prompt(self) -> Size:
        """How much there is to read."""
        return measure(self.operation, self.body) if self.packed is None else self.packed.prompt

    @property
    def affinity(self) -> int:
        """Equal for requests whose prompts begin alike; 0 for short ones."""
        return affinity(self.operation, self.body) if self.packed is None else self.packed.affinity

    @property
    def zones(self) -> frozenset[str]:
        """The privacy zones it must stay in by the client's word, its key's and its tenant's. Needs the principal."""
        zones = self.principal.zones
        return zones if self.zone is None else zones | {self.zone}


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
    may_resume: bool = False
    """Whether policy lets another backend go on with its answer when it is cut."""
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
    def may_be_asked_again(self) -> bool:
        """Whether all of it is still here, should whoever was asked fail."""
        return self.request.files is None or self.request.files.can_be_sent_again

    @property
    def cost(self) -> float | None:
        """US dollars, by the usage and the price of whoever served last; None while the usage is not known."""
        if self.outcome.usage is None or self.candidate is None:
            return None
        usage = self.outcome.usage
        return self.candidate.price.cost(
            {unit: getattr(usage, unit.value) for unit in self.request.spec.units}
        )
