"""Explain: the decision gateways would make on the newest snapshot, with every target's fate."""

from __future__ import annotations

from nexus.router.v1 import router_pb2 as pb
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_routing import Requirements, explain, read_snapshot

MODEL_LENGTH = 256


def explain_on(snapshot: Snapshot, request: pb.ExplainRequest) -> pb.ExplainResponse:
    """Raises INVALID_REQUEST. An unknown model is no error: every target is refused, and `model` is empty."""
    _check(request)
    needs = frozenset(int(capability) for capability in request.capabilities)
    zones = frozenset((request.zone,)) if request.zone else frozenset[str]()
    requirements = Requirements(
        int(request.operation), request.model, needs, zones, tenant=request.tenant, tokens=request.tokens
    )
    explanation = explain(read_snapshot(snapshot), requirements)
    candidates = [
        pb.Candidate(
            target=each.target.id, rank=each.rank, stage=each.stage, reason=each.reason, model=each.model
        )
        for each in explanation.verdicts
    ]
    return pb.ExplainResponse(
        model=explanation.model or "",
        candidates=candidates,
        snapshot_version=snapshot.version,
        policy_revision=snapshot.policy_revision,
    )


def _check(request: pb.ExplainRequest) -> None:
    operations = [value for value in model_pb2.Operation.values() if value]
    capabilities = [value for value in model_pb2.Capability.values() if value]
    if request.operation not in operations:
        raise _invalid("operation", "operation is not one of nexus.types.v1.Operation")
    if not 0 < len(request.model) <= MODEL_LENGTH:
        raise _invalid("model", f"model must be 1 to {MODEL_LENGTH} characters")
    if not set(request.capabilities) <= set(capabilities):
        raise _invalid("capabilities", "a capability is not one of nexus.types.v1.Capability")


def _invalid(param: str, problem: str) -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST, f"There is nothing to explain: {problem}.", metadata={"param": param}
    )
