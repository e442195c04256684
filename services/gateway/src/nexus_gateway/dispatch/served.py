"""What an answer says of who gave it."""

from __future__ import annotations

from nexus.inference.v1 import inference_pb2
from nexus_routing import Candidate

from nexus_gateway.core import Passage

__all__ = ["served_by"]


def served_by(candidate: Candidate, passage: Passage) -> inference_pb2.Served:
    """Who answers, and why it is them."""
    target, plan = candidate.target, passage.chosen
    stands_in = candidate.model.id != plan.model
    dropped = candidate.id in plan.below_tier
    reason = (
        inference_pb2.ROUTE_REASON_RESUMED
        if passage.resuming
        else inference_pb2.ROUTE_REASON_PRIVACY_SCRUBBED
        if passage.scrubbed is not None
        else inference_pb2.ROUTE_REASON_FAILOVER
        if passage.attempts > 1 or stands_in
        else inference_pb2.ROUTE_REASON_CAPACITY_OVERFLOW
        if plan.overflow
        else inference_pb2.ROUTE_REASON_PRIVACY_REQUIREMENT
        if plan.zones
        else inference_pb2.ROUTE_REASON_CAPABILITY_MATCH
    )
    return inference_pb2.Served(
        model=candidate.model.id,
        backend=target.backend,
        instance=target.instance,
        kind=target.kind,
        zone=candidate.zone,
        attempts=passage.attempts,
        route_reason=reason,
        fallback_model=candidate.model.id if stands_in else "",
        dropped_tier=target.tier if dropped else "",
        scrubbed=None if passage.scrubbed is None else passage.scrubbed.total(),
    )
