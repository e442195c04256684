"""Random fleets, requests and conditions, small enough that they often meet."""

from __future__ import annotations

from hypothesis import strategies as st
from nexus_routing import Conditions, Load, Model, Policy, Requirements, State, Table, Target
from support.routing_targets import target

__all__ = ["REQUIREMENTS", "conditions_for", "tables"]

NAMES = st.sampled_from(["m", "m:latest", "n", "o:7b"])
NUMBERS = st.integers(1, 3)
ZONES = st.sampled_from(["home", "restricted", "open"])
MODELS = st.builds(
    Model,
    NAMES,
    st.frozensets(NUMBERS, min_size=1),
    st.frozensets(NUMBERS),
    loaded=st.booleans(),
    remote=st.booleans(),
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
            zone=draw(ZONES),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    aliases = draw(st.dictionaries(st.sampled_from(["m", "x", "y"]), NAMES | st.sampled_from(["x", "y"])))
    zones = draw(st.dictionaries(NAMES | st.sampled_from(["x", "y"]), ZONES, max_size=2))
    return Table(targets, Policy(aliases, zones))


REQUIREMENTS = st.builds(
    Requirements,
    NUMBERS,
    st.sampled_from(["m", "x", "y", "o", "?"]),
    st.frozensets(NUMBERS),
    st.frozensets(ZONES, max_size=1),
)


def conditions_for(targets: tuple[Target, ...], data: st.DataObject) -> Conditions:
    some = st.sets(st.sampled_from(targets)) if targets else st.just(set())
    return Conditions(
        active={each.id: data.draw(NUMBERS) for each in data.draw(some)},
        unreachable={each.endpoint: "gone" for each in data.draw(some)},
        ejected={each.id: "failed" for each in data.draw(some)},
        turn=data.draw(st.integers(0, 9)),
    )
