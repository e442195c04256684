"""Who gets a request, in which order, and what is said when nobody can."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from nexus_routing import (
    Capability,
    Conditions,
    Load,
    Operation,
    Plan,
    Policy,
    Refusal,
    Requirements,
    State,
    Table,
    Target,
    plan,
    similar,
)
from support.routing_targets import model, target

CHAT = Requirements(Operation.CHAT, "m")


def order(result: Plan) -> list[str]:
    return [candidate.target.backend for candidate in result.candidates]


def refusal(table: Table, requirements: Requirements = CHAT, conditions: Conditions | None = None) -> Refusal:
    result = plan(table, requirements, conditions or Conditions())
    assert result.candidates == ()
    assert result.refusal is not None
    return result.refusal


def test_lower_priority_number_comes_first_until_every_place_is_taken() -> None:
    second = target("second", priority=20)
    for load in (Load(active=3, capacity=4), Load(active=99)):
        found = plan(Table([second, target("first", priority=10, load=load)]), CHAT)
        assert (order(found), found.overflow) == (["first", "second"], False)
    full = target("first", priority=10, load=Load(active=4, capacity=4))
    found = plan(Table([second, full]), CHAT)
    assert (order(found), found.overflow) == (["second", "first"], True)


def test_least_loaded_relative_to_its_places_comes_first() -> None:
    small = target("small", load=Load(active=1, capacity=2))
    large = target("large", load=Load(active=3, queued=1, capacity=16))
    assert order(plan(Table([small, large]), CHAT)) == ["large", "small"]


def test_own_running_requests_count_before_the_next_report() -> None:
    left, right = target("left", load=Load(capacity=4)), target("right", load=Load(capacity=4))
    conditions = Conditions(active={left.id: 1})
    assert order(plan(Table([left, right]), CHAT, conditions)) == ["right", "left"]


def test_a_slow_target_comes_first_again_once_the_quick_one_is_as_loaded_as_it_is_slow() -> None:
    quick, slow = target("quick", load=Load(capacity=4)), target("slow", load=Load(capacity=4))
    table, known = Table([quick, slow]), {"m": {slow.id: 0.6}}
    ranked = [
        order(plan(table, CHAT, Conditions(active={quick.id: running}, slow=known, turn=turn)))[0]
        for running in (0, 2, 3)
        for turn in range(2)
    ]
    assert ranked == ["quick"] * 4 + ["slow"] * 2
    assert order(plan(table, CHAT, Conditions(slow={"n": {quick.id: 0.9}}, turn=0)))[0] == "quick"


def test_equals_take_turns() -> None:
    table = Table([target(name) for name in "abc"])
    first = Counter(order(plan(table, CHAT, Conditions(turn=turn)))[0] for turn in range(9))
    assert first == {"a": 3, "b": 3, "c": 3}


def test_those_left_in_service_take_turns_too() -> None:
    table = Table([target(name) for name in "abcde"])
    out = {(table.targets[place].id, "m"): "failed" for place in (0, 2)}
    first = Counter(order(plan(table, CHAT, Conditions(turn=turn, ejected=out)))[0] for turn in range(30))
    assert first == {"b": 10, "d": 10, "e": 10}


def test_few_and_many_running_requests_are_weighed_alike() -> None:
    targets = [target(f"t{number}", load=Load(active=number % 3, capacity=4)) for number in range(9)]
    table = Table(targets)
    many = {each.id: number % 4 for number, each in enumerate(targets)}
    few = {name: running for name, running in many.items() if running == 3}
    for active in (many, few, {}):
        loads = {each.id: (each.load.active + active.get(each.id, 0)) for each in targets}
        ranked = [each.id for each in plan(table, CHAT, Conditions(active=active), limit=9).candidates]
        assert [loads[name] for name in ranked] == sorted(loads.values())
        assert ranked[:3] == [each.id for each in plan(table, CHAT, Conditions(active=active)).candidates]


def test_of_very_many_a_free_one_is_found_wherever_it_stands() -> None:
    full = [target(f"t{number:03}", load=Load(active=4, capacity=4)) for number in range(300)]
    free = target("t299x", load=Load(active=3, capacity=4))
    table = Table([*full, free])
    for turn in (0, 100, 250, 299):
        assert order(plan(table, CHAT, Conditions(turn=turn)))[0] == "t299x"


def test_of_very_many_equals_each_gets_its_turn() -> None:
    targets = [target(f"t{number:03}", load=Load(capacity=4)) for number in range(300)]
    out = {(targets[place].id, "m"): "failed" for place in range(0, 300, 3)}
    first = Counter(
        order(plan(Table(targets), CHAT, Conditions(turn=turn, ejected=out)))[0] for turn in range(400)
    )
    assert set(first.values()) == {2}
    assert len(first) == 200


def test_a_longer_plan_begins_like_a_shorter_one() -> None:
    targets = [
        target(f"t{number:03}", load=Load(active=number * 7 % 11, capacity=9)) for number in range(200)
    ]
    table = Table(targets)
    for turn in range(0, 200, 17):
        whole = order(plan(table, CHAT, Conditions(turn=turn), limit=200))
        assert len(set(whole)) == 200
        for limit in (1, 3, 60, 199):
            assert order(plan(table, CHAT, Conditions(turn=turn), limit=limit)) == whole[:limit]


def test_a_loaded_model_wins_until_its_box_is_a_full_house_busier() -> None:
    warm = target("warm", load=Load(active=3, capacity=4))
    cold = target("cold", model(loaded=False), load=Load(capacity=4))
    assert order(plan(Table([cold, warm]), CHAT)) == ["warm", "cold"]
    assert order(plan(Table([cold, warm]), CHAT, Conditions(active={warm.id: 2}))) == ["cold", "warm"]


def test_alias_then_exact_id_then_latest_tag() -> None:
    table = Table(
        [target("a", model("llama3:latest")), target("b", model("qwen")), target("c", model("qwen:latest"))],
        Policy.model_construct(
            aliases={
                "gpt-4o": "llama3",
                "best": "gpt-4o",
                "qwen": "qwen:latest",
                "loop": "pool",
                "pool": "loop",
            }
        ),
    )
    asked = {name: table.resolve(name) for name in ("gpt-4o", "best", "llama3", "qwen", "loop", "nope")}
    assert asked == {
        "gpt-4o": "llama3:latest",
        "best": "llama3:latest",
        "llama3": "llama3:latest",
        "qwen": "qwen:latest",
        "loop": None,
        "nope": None,
    }
    assert Table([target("b", model("qwen"))]).resolve("qwen:latest") == "qwen"
    assert Table([target("b", model("qwen:7b"))]).resolve("qwen") is None


def test_unknown_model_names_its_neighbours() -> None:
    table = Table([target("a", model("llama3.1:70b"), model("qwen3:32b"))])
    found = refusal(table, Requirements(Operation.CHAT, "llama3.1:7b"))
    assert (found.stage, found.suggestions) == ("model", ("llama3.1:70b",))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("DEMO", ("demo:latest",)),
        ("Demo:Latest", ("demo:latest",)),
        ("dmeo", ("demo:latest",)),
        ("QWEN3:32B", ("qwen3:32b",)),
        ("GPT-4O", ("gpt-4o",)),
        ("secert", ()),
        ("zzz", ()),
    ],
)
def test_near_misses_are_told_and_only_of_what_one_may_use(asked: str, told: tuple[str, ...]) -> None:
    """D12: capitals are no difference to a hint; a model of another zone is not given away."""
    near = target("a", model("demo:latest"), model("qwen3:32b"), zone="home")
    far = target("b", model("secret"), zone="away")
    table = Table([near, far], Policy(aliases={"gpt-4o": "qwen3:32b"}))
    asker = Requirements(Operation.CHAT, asked, zones=frozenset({"home"}))
    assert similar(table, asker) == told
    assert similar(table, replace(asker, model="secert", zones=frozenset())) == ("secret",)


def test_no_targets_at_all_is_an_unknown_model() -> None:
    assert refusal(Table()).stage == "model"


def test_operation_nobody_can_do() -> None:
    found = refusal(Table([target("a")]), Requirements(Operation.EMBEDDING, "m"))
    assert found.stage == "operation"
    assert found.verdicts[0].reason == "cannot do embedding with this model, only chat"


def test_capability_nobody_has_is_named() -> None:
    tools, json = Capability.TOOLS, Capability.JSON
    table = Table([target("a", model(capabilities=[json])), target("b")])
    found = refusal(table, Requirements(Operation.CHAT, "m", frozenset({tools, json})))
    assert (found.stage, found.missing) == ("capabilities", {tools})


def test_capabilities_nobody_has_together() -> None:
    tools, json = Capability.TOOLS, Capability.JSON
    table = Table([target("a", model(capabilities=[json])), target("b", model(capabilities=[tools]))])
    found = refusal(table, Requirements(Operation.CHAT, "m", frozenset({tools, json})))
    assert found.stage == "capabilities"
    assert len(found.missing) == 1


def test_only_the_capable_are_asked() -> None:
    able = target("able", model(capabilities=[Capability.VISION]))
    needs = Requirements(Operation.CHAT, "m", frozenset({Capability.VISION}))
    assert order(plan(Table([target("plain"), able]), needs)) == ["able"]


def test_the_deepest_stage_explains_the_refusal() -> None:
    able = model(capabilities=[Capability.TOOLS])
    table = Table([target("up"), target("down", able, state=State.UNHEALTHY, reason="connection refused")])
    found = refusal(table, Requirements(Operation.CHAT, "m", frozenset({Capability.TOOLS})))
    assert found.stage == "state"
    assert [(v.target.backend, v.reason) for v in found.verdicts] == [
        ("down", "unhealthy: connection refused")
    ]


def test_unreachable_gone_and_ejected_get_nothing() -> None:
    a, b, c, d = (target(name) for name in "abcd")
    conditions = Conditions(
        unreachable={a.endpoint: "lost"}, gone={d.id: "refused"}, ejected={(b.id, "m"): "failed 5 times"}
    )
    assert order(plan(Table([a, b, c, d]), CHAT, conditions)) == ["c"]
    assert refusal(Table([a]), CHAT, conditions).stage == "reachable"
    assert refusal(Table([d]), CHAT, conditions).stage == "gone"


def test_one_model_s_verdict_says_nothing_of_another() -> None:
    """B1: an ejection and a pause are about one model of a target."""
    a, b = target("a"), target("b")
    for conditions in (
        Conditions(ejected={(a.id, "other"): "failed"}),
        Conditions(paused={(a.id, "other"): "asked"}),
    ):
        assert set(order(plan(Table([a, b]), CHAT, conditions))) == {"a", "b"}


def test_the_last_one_is_asked_though_it_is_ejected() -> None:
    """A10: nobody is passed over for nobody."""
    a, b = target("a"), target("b")
    ejected = Conditions(ejected={(a.id, "m"): "failed 5 times", (b.id, "m"): "failed 5 times"})
    assert order(plan(Table([a]), CHAT, ejected)) == ["a"]
    both = plan(Table([a, b]), CHAT, ejected)
    assert (set(order(both)), both.last) == ({"a", "b"}, True)
    hard = Conditions(ejected=ejected.ejected, paused={(a.id, "m"): "asked"}, gone={b.id: "refused"})
    assert plan(Table([a, b]), CHAT, hard).refusal is not None


def test_every_backend_of_an_unreachable_instance_is_out() -> None:
    one, two = target("one", instance="n/adapter/a"), target("two", instance="n/adapter/a")
    assert (
        refusal(Table([one, two]), CHAT, Conditions(unreachable={one.endpoint: "gone"})).stage == "reachable"
    )


def test_the_limit_reaches_over_priorities() -> None:
    targets: list[Target] = [target(f"t{number}", priority=number) for number in range(5)]
    assert order(plan(Table(targets), CHAT, limit=4)) == ["t0", "t1", "t2", "t3"]
