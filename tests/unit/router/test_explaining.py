"""Explain over the newest snapshot."""

from __future__ import annotations

import pytest
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, STATE_UNHEALTHY
from nexus.router.v1.router_pb2 import ExplainRequest
from nexus.router.v1.snapshot_pb2 import Snapshot, Target
from nexus.types.v1.model_pb2 import CAPABILITY_TOOLS, OPERATION_CHAT, Capability, Model, Operation
from nexus_mesh.core.errors import MeshError, Reason
from nexus_router.explaining import explain_on

MODEL = Model(id="m", operations=[OPERATION_CHAT], capabilities=[CAPABILITY_TOOLS], loaded=True)
SNAPSHOT = Snapshot(
    version=7,
    aliases={"gpt-4o": "m"},
    targets=[
        Target(id="a#1", models=[MODEL], state=STATE_UNHEALTHY, state_reason="no answer"),
        Target(id="b#1", models=[MODEL], state=STATE_ACTIVE, priority=60),
        Target(id="c#1", models=[MODEL], state=STATE_ACTIVE, priority=50),
    ],
)


def test_every_target_has_its_fate() -> None:
    request = ExplainRequest(operation=OPERATION_CHAT, model="gpt-4o", capabilities=[CAPABILITY_TOOLS])
    response = explain_on(SNAPSHOT, request)
    assert (response.model, response.snapshot_version) == ("m", 7)
    fates = [(each.target, each.rank, each.stage) for each in response.candidates]
    assert fates == [("c#1", 1, ""), ("b#1", 2, ""), ("a#1", 0, "state")]
    assert "no answer" in response.candidates[2].reason
    assert all(each.reason for each in response.candidates)


def test_an_unknown_model_is_an_answer() -> None:
    response = explain_on(SNAPSHOT, ExplainRequest(operation=OPERATION_CHAT, model="x"))
    assert response.model == ""
    assert {each.stage for each in response.candidates} == {"model"}


@pytest.mark.parametrize(
    ("operation", "model", "capabilities", "param"),
    [
        (0, "m", [], "operation"),
        (99, "m", [], "operation"),
        (1, "", [], "model"),
        (1, "x" * 257, [], "model"),
        (1, "m", [0], "capabilities"),
        (1, "m", [99], "capabilities"),
    ],
)
def test_what_cannot_be_explained(
    operation: Operation, model: str, capabilities: list[Capability], param: str
) -> None:
    with pytest.raises(MeshError) as caught:
        explain_on(SNAPSHOT, ExplainRequest(operation=operation, model=model, capabilities=capabilities))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata == {"param": param}
