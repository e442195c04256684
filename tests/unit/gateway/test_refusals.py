"""Each way a plan can be empty has its own reason, parameter and advice."""

from __future__ import annotations

import pytest
from nexus_gateway.refusals import BY_STAGE, refuse
from nexus_mesh.errors import MeshError, Reason
from nexus_routing import STAGES, Capability, Conditions, Operation, Requirements, State, Table, plan
from support.routing_targets import model, target

CHAT = Operation.CHAT


def refused(table: Table, requirements: Requirements, conditions: Conditions | None = None) -> MeshError:
    refusal = plan(table, requirements, conditions or Conditions()).refusal
    assert refusal is not None
    return refuse(refusal, requirements)


@pytest.mark.parametrize(
    ("operation", "capability", "reason", "param"),
    [
        (CHAT, Capability.TOOLS, Reason.UNSUPPORTED_PARAMETER, "tools"),
        (CHAT, Capability.TOOL_CHOICE, Reason.UNSUPPORTED_PARAMETER, "tool_choice"),
        (CHAT, Capability.JSON, Reason.UNSUPPORTED_PARAMETER, "response_format"),
        (CHAT, Capability.LOGPROBS, Reason.UNSUPPORTED_PARAMETER, "logprobs"),
        (CHAT, Capability.CHOICES, Reason.UNSUPPORTED_PARAMETER, "n"),
        (Operation.COMPLETION, Capability.TOKEN_INPUT, Reason.UNSUPPORTED_PARAMETER, "prompt"),
        (Operation.EMBEDDING, Capability.TOKEN_INPUT, Reason.UNSUPPORTED_PARAMETER, "input"),
        (CHAT, Capability.VISION, Reason.CAPABILITY_MISSING, "messages"),
        (CHAT, Capability.AUDIO, Reason.CAPABILITY_MISSING, "messages"),
        (CHAT, 77, Reason.CAPABILITY_MISSING, "messages"),
    ],
)
def test_missing_capability_names_the_parameter(
    operation: int, capability: int, reason: Reason, param: str
) -> None:
    table = Table([target("box", model(operations=[operation]))])
    error = refused(table, Requirements(operation, "m", frozenset({capability})))
    assert (error.reason, error.metadata) == (reason, {"param": param})
    assert "box lacks" in error.message


def test_wrong_kind_of_work() -> None:
    error = refused(Table([target("box")]), Requirements(Operation.EMBEDDING, "m"))
    assert error.reason is Reason.CAPABILITY_MISSING
    assert "only chat" in error.message


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ([State.UNHEALTHY], Reason.BACKEND_DOWN),
        ([State.DRAINING, State.UNHEALTHY], Reason.BACKEND_DOWN),
        ([State.STARTING], Reason.MODEL_NOT_READY),
        ([State.UNHEALTHY, State.STARTING], Reason.MODEL_NOT_READY),
    ],
)
def test_known_but_not_usable(states: list[State], reason: Reason) -> None:
    table = Table([target(f"box{n}", state=state, reason="why") for n, state in enumerate(states)])
    error = refused(table, Requirements(CHAT, "m"))
    assert error.reason is reason
    assert error.retry_after
    assert all(f"box{n}" in error.message for n in range(len(states)))


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("", "unhealthy. Try again"),
        ("why", "unhealthy: why. Try again"),
        ("It is down.", "unhealthy: It is down. Try again"),
        ("Is it running at its address?", "unhealthy: Is it running at its address? Try again"),
    ],
)
def test_a_reason_that_is_a_sentence_gets_no_second_full_stop(reason: str, told: str) -> None:
    table = Table([target("box", state=State.UNHEALTHY, reason=reason)])
    assert told in refused(table, Requirements(CHAT, "m")).message


def test_long_lists_are_cut() -> None:
    table = Table([target(f"box{n}", state=State.UNHEALTHY) for n in range(40)])
    message = refused(table, Requirements(CHAT, "m")).message
    assert message.count("unhealthy") == 5
    assert "and 35 more" in message


def test_own_experience_is_told() -> None:
    box = target("box")
    error = refused(
        Table([box]), Requirements(CHAT, "m"), Conditions(ejected={box.id: "failed 5 times in a row"})
    )
    assert error.reason is Reason.BACKEND_DOWN
    assert "box failed 5 times in a row" in error.message


def test_unknown_model_is_echoed_only_so_far() -> None:
    message = refused(Table([target("box")]), Requirements(CHAT, "x" * 5000)).message
    assert len(message) < 400


def test_every_stage_has_an_error() -> None:
    assert set(BY_STAGE) == {stage.name for stage in STAGES}
