"""Whether a request may leave the zone policy demands for it once it is scrubbed, and where it may go then.

Policy says so of a zone or of a model. What the client itself demands is never given up, nor is a zone policy does not
name. A gateway whose policy lets nothing cross pays nothing for any of this.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import is_text
from nexus_routing import Capability, Policy, Requirements, Table

from nexus_gateway.core import InferenceRequest
from nexus_gateway.scrubbing.scrubber import Scrubber, TooMuchError

__all__ = ["ZoneExit", "ZoneExits"]

SCRUB, BLOCK = "scrub", "block"
UNREADABLE = {
    Capability.VISION: "images",
    Capability.AUDIO: "audio",
    Capability.TOKEN_INPUT: "tokens instead of text",
}


@dataclass(frozen=True, slots=True)
class ZoneExit:
    """A way out: the table without the demands that are given up, and what is still required."""

    table: Table
    requirements: Requirements


class ZoneExits:
    """Finds ways out of zones, and scrubs what takes them."""

    def __init__(self) -> None:
        self._opened: tuple[Table, Table] | None = None

    def find(self, table: Table, request: InferenceRequest, requirements: Requirements) -> ZoneExit | None:
        """The way out for a request that nobody may serve inside; None when policy lets it have none."""
        policy = table.policy
        if SCRUB not in policy.crossing.values():
            return None
        model = requirements.model
        names = policy.names(model, table.resolve(model) or model)
        if any(policy.crossing.get(name) == BLOCK for name in names):
            return None
        zones = frozenset(
            zone for zone in requirements.zones if zone == request.zone or policy.crossing.get(zone) != SCRUB
        )
        return ZoneExit(self._open(table), replace(requirements, zones=zones))

    async def scrub(self, request: InferenceRequest) -> Counter[str]:
        """Takes out of the request's body what can be found, off the loop; how many places, by kind.

        Raises MeshError PRIVACY_ZONE when there is something in it that cannot be looked through.
        """
        if not request.spec.scrubbable:
            raise _blocked(f"{request.spec.title} with its words replaced would be another")
        if what := _unreadable(request):
            raise _blocked(f"it holds {what}, which cannot be scrubbed")
        try:
            request.body, counts = await asyncio.to_thread(_scrubbed, request.body)
        except TooMuchError:
            raise _blocked("it is too long to be scrubbed") from None
        return counts

    def _open(self, table: Table) -> Table:
        """The table without the zones that may be left; made once for each table."""
        if self._opened is None or self._opened[0] is not table:
            policy = table.policy
            zones = {name: zone for name, zone in policy.zones.items() if not _may_leave(policy, name, zone)}
            rules = tuple(
                rule.model_copy(update={"zone": ""}) if policy.crossing.get(rule.zone) == SCRUB else rule
                for rule in policy.rules
            )
            opened = policy.model_copy(update={"zones": zones, "rules": rules})
            self._opened = table, Table(table.targets, opened)
        return self._opened[1]


def _may_leave(policy: Policy, name: str, zone: str) -> bool:
    """Whether what policy demands for a name may be given up: by what it says of the name, else of the zone."""
    return policy.crossing.get(name, policy.crossing.get(zone)) == SCRUB


def _unreadable(request: InferenceRequest) -> str | None:
    """What in a request is no text."""
    for capability, what in UNREADABLE.items():
        if capability in request.needs:
            return what
    for message in request.body.get("messages", ()):
        content = message.get("content")
        if isinstance(content, list) and not all(map(is_text, content)):
            return "parts that are no text"
    return None


def _scrubbed(body: JsonObject) -> tuple[JsonObject, Counter[str]]:
    from nexus_gateway.scrubbing.findings import find

    scrubber = Scrubber(find)
    return scrubber.body(body), scrubber.counts


def _blocked(why: str) -> MeshError:
    return MeshError(
        Reason.PRIVACY_ZONE,
        "Nobody inside the privacy zone this request must stay in offers the model, and it cannot leave it: "
        f"{why}. Nothing was sent anywhere. Choose another model.",
        metadata={"param": "model"},
    )
