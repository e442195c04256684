"""What the edge hands to the pipeline: one request, parsed once, whatever it came by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus_mesh.core import JsonObject
from nexus_operations import Size, Spec, affinity, measure, spec_of

from nexus_gateway.access import Principal
from nexus_gateway.core.packed import LARGE, Packed
from nexus_gateway.core.priority import Priority


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

    packed: Packed | None = field(default=None, init=False, repr=False)

    def pack(self) -> None:
        """Lets go of a large body's tree."""
        if self.size >= LARGE:
            self.packed = Packed(self.operation, self.body)
            del self.body

    def let_go(self) -> None:
        """A large body is not needed any more. An error's traceback may keep the rest for a while."""
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
