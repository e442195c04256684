"""The gateway's priorities are the contract's, though the queue must not import the contract."""

from __future__ import annotations

from nexus.inference.v1 import inference_pb2
from nexus_gateway.core.priority import Priority


def test_equals_the_contract() -> None:
    declared = {name.removeprefix("PRIORITY_"): number for name, number in inference_pb2.Priority.items()}
    declared.pop("UNSPECIFIED")
    assert {each.name: each.value for each in Priority} == declared
