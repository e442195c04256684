"""plan() and explain() never disagree, whatever the table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nexus_routing import STAGES, Conditions, Load, Model, Requirements, State, Table, Target, explain, plan
from support.routing_targets import target

NAMES = st.sampled_from(["m", "m:latest", "n", "o:7b"])
NUMBERS = st.integers(1, 3)
MODELS = st.builds(
    Model, NAMES, st.frozensets(NUMBERS, min_size=1), st.frozensets(NUMBERS), loaded=st.booleans()
)
LOADS = st.builds(Load, st.integers(0, 4), st.integers(0, 2), st.integers(0, 4))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    targets = [
        target(
            f"t{number}",
            *draw(st.lists(MODELS, min_size=1, max_size=3, unique_by=lambda model: model.id)),
            state=draw(st.sampled_from(State)),
            priority=draw(NUMBERS),
            load=draw(LOADS),
            instance=draw(st.sampled_from([None, "shared/adapter/a"])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    return Table(targets, draw(st.dictionaries(st.sampled_from(["m", "x", "y"]), NAMES | st.just("x"))))


REQUIREMENTS = st.builds(
    Requirements, NUMBERS, st.sampled_from(["m", "x", "y", "o", "?"]), st.frozensets(NUMBERS)
)


def conditions_for(targets: tuple[Target, ...], data: st.DataObject) -> Conditions:
    some = st.sets(st.sampled_from(targets)) if targets else st.just(set())
    return Conditions(
        active={each.id: data.draw(NUMBERS) for each in data.draw(some)},
        unreachable={each.endpoint: "gone" for each in data.draw(some)},
        ejected={each.id: "failed" for each in data.draw(some)},
        turn=data.draw(st.integers(0, 9)),
    )


@given(st.data(), tables(), REQUIREMENTS, st.integers(1, 7))
def test_plan_is_the_ranked_part_of_explain(
    data: st.DataObject, table: Table, requirements: Requirements, limit: int
) -> None:
    conditions = conditions_for(table.targets, data)
    chosen = plan(table, requirements, conditions, limit)
    verdicts = explain(table, requirements, conditions).verdicts
    ranked = [verdict.target.id for verdict in verdicts if verdict.rank]
    assert [candidate.id for candidate in chosen.candidates] == ranked[:limit]
    assert sorted(verdict.target.id for verdict in verdicts) == [each.id for each in table.targets]
    assert (chosen.refusal is None) == bool(ranked)


@given(st.data(), tables(), REQUIREMENTS)
def test_verdicts_are_ordered_and_reasoned(
    data: st.DataObject, table: Table, requirements: Requirements
) -> None:
    verdicts = explain(table, requirements, conditions_for(table.targets, data)).verdicts
    ranks = [verdict.rank for verdict in verdicts if verdict.rank]
    assert ranks == list(range(1, len(ranks) + 1))
    refused = [verdict for verdict in verdicts if not verdict.rank]
    assert list(verdicts[len(ranks) :]) == refused
    assert {verdict.stage for verdict in refused} <= {stage.name for stage in STAGES}
    assert all(verdict.reason for verdict in verdicts)


@given(tables(), REQUIREMENTS)
def test_a_candidate_offers_the_model_the_operation_and_the_needs(
    table: Table, requirements: Requirements
) -> None:
    for candidate in plan(table, requirements, limit=9).candidates:
        assert candidate.model in candidate.target.models
        assert candidate.target.state == State.ACTIVE
        assert requirements.operation in candidate.model.operations
        assert requirements.needs <= candidate.model.capabilities
