"""E21: what `resume` cannot do is said."""

from __future__ import annotations

from typing import Any

import pytest
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_cli.resume_doubts import doubts


def instance(name: str, *backends: instance_pb2.Backend) -> instance_pb2.Instance:
    return instance_pb2.Instance(id=name, status=instance_pb2.Status(backends=backends))


def backend(
    name: str, *models: str, does: model_pb2.Operation = model_pb2.OPERATION_CHAT
) -> instance_pb2.Backend:
    return instance_pb2.Backend(
        name=name, models=[model_pb2.Model(id=model, operations=[does]) for model in models]
    )


MESH = [
    instance(
        "a/adapter",
        backend("box", "m", "lonely"),
        backend("vec", "embed", does=model_pb2.OPERATION_EMBEDDING),
    ),
    instance("b/adapter", backend("box", "m")),
]
CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"resume": ["m"]}, []),
    ({"resume": ["gpt"], "aliases": {"gpt": "m"}}, []),
    ({"resume": ["nope*"]}, ["resume: no backend offers 'nope*' now."]),
    ({"resume": ["lonely"]}, ["resume: only box on a/adapter offers 'lonely'"]),
    ({"resume": ["gpt"], "aliases": {"gpt": "lonely"}}, ["resume: only box on a/adapter offers 'lonely'"]),
    ({"resume": ["embed"]}, ["resume: 'embed' writes no text"]),
    ({"resume": ["*"]}, ["resume: 'embed' writes no text", "resume: only box on a/adapter offers 'lonely'"]),
    ({"resume": ["lonely", "l*"]}, ["resume: only box on a/adapter offers 'lonely'"]),
]


@pytest.mark.parametrize(("policy", "told"), CASES)
def test_doubts(policy: dict[str, Any], told: list[str]) -> None:
    found = doubts(policy, MESH)
    assert len(found) == len(told)
    assert all(sentence.startswith(start) for sentence, start in zip(found, told, strict=True)), found
