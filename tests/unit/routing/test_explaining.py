"""plan() and explain() never disagree, whatever the table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nexus_routing import STAGES, Requirements, Table, explain, plan
from support.routing_strategies import REQUIREMENTS, conditions_for, tables


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
