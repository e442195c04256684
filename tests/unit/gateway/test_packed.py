"""Large requests: packed once, sent as they are to whoever is asked, and read again only where somebody must."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.packed import LARGE
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.validation.parse import parse_request

KINDS = (inference_pb2.CompleteRequest, inference_pb2.StreamRequest, inference_pb2.CountTokensRequest)


def parsed(size: int, **fields: Any) -> InferenceRequest:
    messages = [{"role": "user", "content": 'é"\\😀' + "x" * size}]
    body = msgspec.json.encode({"model": "m", "messages": messages, **fields})
    return parse_request(model_pb2.OPERATION_CHAT, body, request_id="r", principal=ANONYMOUS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_arrives_under_the_name_of_whoever_is_asked(kind: Any) -> None:
    """A5: the bytes that are kept for another attempt are those that were sent."""
    request = parsed(LARGE, temperature=0.5)
    body, affinity = request.body, request.affinity
    request.pack()
    assert request.packed is not None
    assert request.is_packed
    for model, backend in [("one", "a"), ('a "longer" name', "b"), ("x", "c")]:
        envelope = inference_pb2.Envelope(model=model, backend=backend, request_id="r", continues=True)
        arrived = kind.FromString(request.packed.message(kind, envelope)).envelope
        assert (arrived.model, arrived.backend, arrived.continues) == (model, backend, True)
        assert msgspec.json.decode(arrived.body) == {**body, "model": model}
        assert request.body == body
        assert request.affinity == affinity


def test_small_ones_stay_as_they_are() -> None:
    request = parsed(100)
    request.pack()
    assert request.packed is None
    assert not request.is_packed


def test_what_was_replaced_since_never_travels() -> None:
    """A scrubbed body takes the place of the packed one."""
    request = parsed(LARGE)
    request.pack()
    request.body = {"model": "m", "messages": []}
    assert not request.is_packed
    assert request.body["messages"] == []


def test_a_body_with_nothing_but_a_name() -> None:
    request = parsed(LARGE)
    request.body = {"model": "m"}
    request.pack()
    assert request.packed is not None
    message = request.packed.message(KINDS[0], inference_pb2.Envelope(model="n"))
    assert KINDS[0].FromString(message).envelope.body == '{"model":"n"}'


def test_other_names_are_none() -> None:
    with pytest.raises(AttributeError):
        _ = parsed(10).bodies  # type: ignore[attr-defined]


def test_what_is_asked_of_a_packed_one_needs_no_reading() -> None:
    """A5: permissions, costs and refusals read 16 MB again, each."""
    options = {"num_keep": 5, "bogus": "x" * LARGE}
    request = parsed(LARGE, max_tokens=7, stop=["a"], tools=[], options=options)
    request.pack()
    assert request.packed is not None
    assert request.outline["max_tokens"] == 7
    assert request.outline["stop"] is True
    assert set(request.outline) == set(request.body)
    assert set(request.outline["options"]) == set(options)
    unpacked = parsed(LARGE, max_tokens=7, stop=["a"], tools=[], options=options)
    assert request.prompt == unpacked.prompt
    request.let_go()
    assert request.packed is None
