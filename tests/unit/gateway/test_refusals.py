"""Each way a plan can be empty has its own reason, parameter and advice."""

from __future__ import annotations

from typing import Any

import pytest
from nexus_gateway.core.refusals import BY_STAGE, refuse
from nexus_mesh.core.errors import MeshError, Reason
from nexus_routing import (
    STAGES,
    Capability,
    Conditions,
    Operation,
    Policy,
    Requirements,
    Rule,
    Scope,
    State,
    Table,
    names,
    plan,
)
from support.routing_targets import model, target

CHAT = Operation.CHAT
HIDES_HOSTS = {"forbidden_by_zone", "forbidden_by_rule"}


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
    assert (error.reason, error.metadata["param"]) == (reason, param)
    assert (error.metadata["required"], error.metadata["available"]) == (names(Capability, (capability,)), "")
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


def test_so_are_the_hosts_a_program_is_told() -> None:
    table = Table([target(f"box{n}", state=State.UNHEALTHY) for n in range(40)])
    hosts = refused(table, Requirements(CHAT, "m")).metadata["available_nodes"].split(",")
    assert len(hosts) == 32


def test_own_experience_is_told() -> None:
    box = target("box")
    error = refused(
        Table([box]), Requirements(CHAT, "m"), Conditions(gone={box.id: "refused a connection lately"})
    )
    assert error.reason is Reason.BACKEND_DOWN
    assert "box refused a connection lately" in error.message


def test_unknown_model_is_echoed_only_so_far() -> None:
    message = refused(Table([target("box")]), Requirements(CHAT, "x" * 5000)).message
    assert len(message) < 400


def test_every_stage_has_an_error() -> None:
    assert set(BY_STAGE) == {stage.name for stage in STAGES} | {"absent"}


RULE = Rule(name="guests", tenants=("guest",), never=Scope(hosts=("box-node",)))


@pytest.mark.parametrize(
    ("policy", "asked", "reason", "context"),
    [
        (Policy(aliases={"n": "o"}), {"model": "n"}, Reason.BACKEND_DOWN, {"reason": "absent"}),
        (
            Policy(tiers={"m": "premium"}),
            {},
            Reason.BACKEND_DOWN,
            {"reason": "tier", "required_tier": "premium", "available_nodes": "box-node"},
        ),
        (Policy(rules=(RULE,)), {"tenant": "guest"}, Reason.ROUTING_RULE, {"reason": "forbidden_by_rule"}),
        (Policy(zones={"m": "home"}), {}, Reason.PRIVACY_ZONE, {"reason": "forbidden_by_zone"}),
        (
            Policy(),
            {"tokens": 101},
            Reason.CONTEXT_LENGTH,
            {"reason": "context_length", "context_tokens": "100"},
        ),
    ],
)
def test_why_nobody_can_serve_is_told_to_programs_too(
    policy: Policy, asked: dict[str, Any], reason: Reason, context: dict[str, str]
) -> None:
    table = Table([target("box", model(context=100))], policy)
    error = refused(table, Requirements(CHAT, **{"model": "m", **asked}))
    assert error.reason is reason
    assert error.metadata | context == error.metadata
    assert ("available_nodes" in error.metadata) == (context.get("reason") not in HIDES_HOSTS)


def test_models_that_were_to_stand_in_are_named() -> None:
    table = Table(
        [target("box", state=State.UNHEALTHY), target("other", model("n"), state=State.DRAINING)],
        Policy(fallbacks={"m": ("n",)}),
    )
    assert "Nor can 'n', which may stand in" in refused(table, Requirements(CHAT, "m")).message


def test_when_to_come_back_is_when_the_first_may_be_tried_again() -> None:
    box, conditions = target("box"), Conditions(paused={(target("box").id, "m"): "asked to be left alone"})
    refusal = plan(Table([box]), Requirements(CHAT, "m"), conditions).refusal
    assert refusal is not None
    error = refuse(
        refusal, Requirements(CHAT, "m"), lambda offers: 7.0 if list(offers) == [(box.id, "m")] else 0.0
    )
    assert (error.retry_after, error.metadata["eta_seconds"]) == (7.0, "7")


SECRET = target("secret", model(operations=[CHAT]), zone="vip", tier="low", reason="secret reason")
HIDDEN: list[tuple[Table, dict[str, Any], Conditions]] = [
    (Table([SECRET]), {"operation": Operation.EMBEDDING}, Conditions()),
    (Table([SECRET]), {"zones": frozenset({"other"})}, Conditions()),
    (Table([SECRET]), {"needs": frozenset({Capability.TOOLS})}, Conditions()),
    (Table([SECRET], Policy(tiers={"m": "high"}, tier_order=("low", "high"))), {}, Conditions()),
    (
        Table([SECRET], Policy(rules=(Rule(name="secret", never=Scope(hosts=("secret-node",))),))),
        {},
        Conditions(),
    ),
    (Table([target("secret", state=State.UNHEALTHY, reason="secret reason")]), {}, Conditions()),
    (Table([target("secret", state=State.STARTING, reason="secret reason")]), {}, Conditions()),
    (Table([SECRET]), {}, Conditions(unreachable={SECRET.endpoint: "secret reason"})),
    (Table([SECRET]), {}, Conditions(gone={SECRET.id: "secret reason"})),
    (Table([SECRET]), {}, Conditions(paused={(SECRET.id, "m"): "secret reason"})),
]


@pytest.mark.security
@pytest.mark.parametrize(("table", "asked", "conditions"), HIDDEN)
def test_who_may_not_know_hears_no_name(table: Table, asked: dict[str, Any], conditions: Conditions) -> None:
    """A14: neither backends nor hosts, zones, rules or their reasons; what to do is said all the same."""
    requirements = Requirements(**{"operation": CHAT, "model": "m", **asked})
    refusal = plan(table, requirements, conditions).refusal
    assert refusal is not None
    told, hidden = refuse(refusal, requirements), refuse(refusal, requirements, full=False)
    assert "secret" in told.message
    assert (hidden.reason, hidden.retry_after) == (told.reason, told.retry_after)
    said = f"{hidden.message} {hidden.metadata}"
    assert "secret" not in said
    assert "vip" not in said
    assert hidden.message.endswith(".")
    assert ".." not in hidden.message
