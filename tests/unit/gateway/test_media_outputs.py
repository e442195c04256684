"""Outputs of an answer at the edge: in their order, each whole, or a failure."""

from __future__ import annotations

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_gateway.dialects.openai import media as media_module
from nexus_gateway.dialects.openai.media import Outputs
from nexus_mesh.core import MeshError, Reason


def piece(
    data: bytes, index: int = 0, preview: int | None = None, kind: str = "", *, last: bool = False
) -> inference_pb2.Media:
    return inference_pb2.Media(data=data, index=index, preview=preview, mime_type=kind, last=last)


def first(
    data: bytes, index: int = 0, preview: int | None = None, *, last: bool = False
) -> inference_pb2.Media:
    return piece(data, index, preview, "image/png", last=last)


def told(outputs: Outputs, *given: inference_pb2.Media) -> list[tuple[int, bytes]]:
    return [(one.index, one.data) for each in given for one in outputs.take(each)]


def test_outputs_are_handed_on_by_their_index_however_they_come() -> None:
    outputs = Outputs("image/png", 3)
    given = [
        first(b"c", 2, last=True),
        first(b"b", 1),
        first(b"a", 0),
        piece(b"B", 1, last=True),
        piece(b"A", last=True),
    ]
    assert told(outputs, *given) == [(0, b"a"), (0, b"A"), (1, b"b"), (1, b"B"), (2, b"c")]
    outputs.finish()


def test_a_preview_is_whole_before_its_output() -> None:
    outputs = Outputs("image/png")
    assert told(outputs, first(b"l", 0, 0), piece(b"L", 0, 0, last=True), first(b"a", last=True)) == [
        (0, b"l"),
        (0, b"L"),
        (0, b"a"),
    ]
    outputs.finish()


def read_whole(given: list[inference_pb2.Media]) -> None:
    outputs = Outputs("image/png", 2)
    told(outputs, *given)
    outputs.finish()


@pytest.mark.parametrize(
    "given",
    [
        [first(b"a", 2)],
        [first(b"a", last=True), piece(b"more")],
        [first(b"a"), first(b"late", 0, 0)],
        [piece(b"a")],
        [piece(b"a", kind="text/html")],
        [piece(b"a", kind="image/png\r\nx: y")],
        [first(b"a", last=True), first(b"b", 1)],
        [first(b"a", last=True)],
        [first(b"l", 0, 0, last=True)],
        [],
    ],
)
def test_what_is_more_less_or_something_else_is_malformed(given: list[inference_pb2.Media]) -> None:
    with pytest.raises(MeshError) as caught:
        read_whole(given)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_what_waits_for_its_turn_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_module, "HELD", 10)
    outputs = Outputs("image/png", 2)
    assert told(outputs, first(b"x" * 10, 1)) == []
    with pytest.raises(MeshError, match="at once"):
        told(outputs, piece(b"x", 1))
