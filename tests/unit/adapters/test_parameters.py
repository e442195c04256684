"""A model's catalogue against a request: what there is stands in the refusal, and nothing is replaced in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.host.parameters import check_parameters
from nexus_mesh.core import MeshError, Reason

SPEECH, CHAT = model_pb2.OPERATION_SPEECH, model_pb2.OPERATION_CHAT
SCHEMA = {
    "properties": {
        "input": {"type": "string", "maxLength": 5},
        "voice": {"oneOf": [{"const": "en-gb", "title": "English"}, {"const": "de"}]},
        "response_format": {"enum": ["mp3", "wav"]},
        "speed": {"type": "number", "minimum": 0.5, "maximum": 2.5},
        "steps": {"type": "integer", "minimum": 1},
        "stop": {"type": ["string", "array"]},
    },
    "additionalProperties": False,
}
LEAST = {"model": "m", "input": "hi", "voice": "de"}


def check(schema: dict[str, Any] | None = None, operation: model_pb2.Operation = SPEECH, **more: Any) -> None:
    told = model_pb2.OperationParameters(operation=SPEECH, schema=json.dumps(schema or SCHEMA))
    check_parameters(model_pb2.Model(id="m", parameters=[told]), operation, {**LEAST, **more})


def test_what_it_takes_passes() -> None:
    check()
    check(speed=2.5, response_format="wav", steps=1)
    check(speed=None)
    check(stop="x")
    check(stop=["x"])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("voice", "alloy", "one of en-gb, de"),
        ("voice", 7, "one of en-gb, de"),
        ("response_format", "ogg", "one of mp3, wav"),
        ("speed", 2.6, "between 0.5 and 2.5"),
        ("speed", "fast", "of type number"),
        ("speed", True, "of type number"),
        ("steps", 0, "at least 1"),
        ("steps", 1.5, "of type integer"),
        ("input", "too long", "at most 5 characters"),
        ("stop", True, "of type string or array"),
    ],
)
def test_what_it_does_not_take_is_refused_with_what_there_is(name: str, value: Any, said: str) -> None:
    with pytest.raises(MeshError) as caught:
        check(**{name: value})
    error = caught.value
    assert (error.reason, error.metadata["param"]) == (Reason.INVALID_REQUEST, name)
    assert said in error.message


def test_what_it_does_not_know_is_refused_where_its_list_is_all_there_is() -> None:
    with pytest.raises(MeshError) as caught:
        check(instructions="sing")
    assert (caught.value.reason, caught.value.metadata["param"]) == (
        Reason.UNSUPPORTED_PARAMETER,
        "instructions",
    )
    check({**SCHEMA, "additionalProperties": True}, instructions="sing")


def test_it_is_about_its_own_operation_alone() -> None:
    check(operation=CHAT, voice="alloy", instructions="sing")


def test_a_long_list_is_told_as_far_as_it_goes() -> None:
    many = {"properties": {"voice": {"enum": [f"voice-{number}" for number in range(5000)]}}}
    with pytest.raises(MeshError) as caught:
        check(many)
    assert len(caught.value.message) < 5000
    assert caught.value.message.count("voice-") > 100
