"""Names people write in nexus.toml for the contract's enumerations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from nexus.types.v1 import model_pb2
from nexus_operations import SPECS

__all__ = [
    "CAPABILITIES",
    "CHAT",
    "COMPLETION",
    "EMBEDDING",
    "IMAGE",
    "IMAGE_EDIT",
    "IMAGE_VARIATION",
    "OCR",
    "OPERATIONS",
    "PAINTER",
    "READER",
    "SPEECH",
    "VIDEO",
    "VOICE",
    "capabilities_named",
    "operations_named",
]

CHAT = model_pb2.OPERATION_CHAT
COMPLETION = model_pb2.OPERATION_COMPLETION
EMBEDDING = model_pb2.OPERATION_EMBEDDING
SPEECH = model_pb2.OPERATION_SPEECH
IMAGE = model_pb2.OPERATION_IMAGE
IMAGE_EDIT = model_pb2.OPERATION_IMAGE_EDIT
IMAGE_VARIATION = model_pb2.OPERATION_IMAGE_VARIATION
OCR = model_pb2.OPERATION_OCR
VIDEO = model_pb2.OPERATION_VIDEO

VOICE = "espeak-ng"
"""The model that speaks without anything being set up."""
PAINTER = "nexus-painter"
"""The one that paints so."""
READER = "rapidocr"
"""The one that reads documents, where its package is installed."""

OPERATIONS: dict[str, model_pb2.Operation] = {
    spec.name: cast("model_pb2.Operation", number) for number, spec in SPECS.items()
}
CAPABILITIES: dict[str, model_pb2.Capability] = {
    name.removeprefix("CAPABILITY_").lower(): cast("model_pb2.Capability", value)
    for name, value in model_pb2.Capability.items()
    if value
}


def operations_named(names: Iterable[str]) -> list[model_pb2.Operation]:
    return [OPERATIONS[name] for name in names]


def capabilities_named(names: Iterable[str]) -> list[model_pb2.Capability]:
    return sorted(CAPABILITIES[name] for name in names)
