"""The library's numbers are the contract's numbers, though it reads none of them there but the operations."""

from __future__ import annotations

from enum import IntEnum

import pytest
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_routing import Capability, Operation, State, names


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (Operation, model_pb2.Operation, "OPERATION_"),
        (Capability, model_pb2.Capability, "CAPABILITY_"),
        (State, instance_pb2.State, "STATE_"),
    ],
)
def test_equals_the_contract(ours: type[IntEnum], theirs: object, prefix: str) -> None:
    declared = {name.removeprefix(prefix): number for name, number in theirs.items()}  # type: ignore[attr-defined]
    if ours is not State:
        declared.pop("UNSPECIFIED")
    assert {member.name: member.value for member in ours} == declared


def test_names_are_sorted_and_unknown_numbers_stay_numbers() -> None:
    assert names(Capability, {Capability.VISION, Capability.JSON, 99}) == "#99, json, vision"
