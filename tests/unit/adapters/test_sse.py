"""The SSE reader, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import strategies as st
from nexus_inference_adapters.openai.event_stream import MAX_LINE_BYTES, Comment, LineReader, SseReader
from nexus_mesh.core.errors import MeshError, Reason
from support.properties import examples, given

STREAM = (
    'data: {"a":"€ß"}\r\n\r\n: keepalive 1/2\n\nevent: x\nid: 1\nretry: 5\ndata:tight\ndata: two\n\n'.encode()
)
EVENTS = ['{"a":"€ß"}'.encode(), b"keepalive 1/2", b"tight\ntwo"]


@examples(2_000)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_cuts_make_no_difference(places: list[int]) -> None:
    bounds = [0, *sorted(places), len(STREAM)]
    reader = SseReader()
    events = [event for start, end in pairwise(bounds) for event in reader.feed(STREAM[start:end])]
    assert events == EVENTS
    assert [type(event) is Comment for event in events] == [False, True, False]
    assert not reader.incomplete()


def test_half_an_event_is_never_handed_on() -> None:
    reader = SseReader()
    assert list(reader.feed(b'data: {"a":1}\n')) == []
    assert reader.incomplete()


@pytest.mark.parametrize(
    "data", [b"<html>\n", b"x" * (MAX_LINE_BYTES + 1), b"data: " + b"y" * (MAX_LINE_BYTES + 1) + b"\n"]
)
def test_what_is_no_event_stream_is_malformed(data: bytes) -> None:
    with pytest.raises(MeshError) as caught:
        list(SseReader().feed(data))
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_an_event_of_many_lines_is_bounded() -> None:
    reader = SseReader()
    line = b"data: " + b"y" * 100_000 + b"\n"
    for _ in range(10):
        assert list(reader.feed(line)) == []
    with pytest.raises(MeshError):
        list(reader.feed(line))


def test_lines() -> None:
    reader = LineReader()
    assert reader.feed(b"a\r\nb\nc") == [b"a", b"b"]
    assert reader.rest() == b"c"
