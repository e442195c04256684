"""An answer of bytes is whole, or it is an error: at the event that breaks the contract."""

from __future__ import annotations

import pytest
from nexus_inference_adapters.contract import MEDIA_BYTES, Event, Finish, Media, Progress, Work
from nexus_inference_adapters.host.outputs import Outputs
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation

MP3 = "audio/mpeg"
WHOLE = [Media(b"a", mime_type=MP3), Progress("speaking"), Media(b"b"), Media(b"", last=True)]
DONE = Finish(None)

BROKEN: dict[str, list[Event]] = {
    "nothing was made": [DONE],
    "only a preview was made": [Media(b"a", preview=0, mime_type=MP3, last=True), DONE],
    "it was cut": [*WHOLE[:3], DONE],
    "it has an end and no bytes": [Media(b"", mime_type=MP3, last=True)],
    "it is of no type": [Media(b"a")],
    "it goes on after its end": [*WHOLE, Media(b"c")],
    "there is one too many": [*WHOLE, Media(b"c", index=1, mime_type=MP3)],
    "a piece is too large": [Media(bytes(MEDIA_BYTES + 1), mime_type=MP3)],
    "it is shorter than was said": [Media(b"a", mime_type=MP3, size=2), Media(b"", last=True)],
    "a preview comes late": [Media(b"a", mime_type=MP3), Media(b"p", preview=0, mime_type=MP3)],
    "a preview was cut": [Media(b"p", preview=0, mime_type=MP3), *WHOLE, DONE],
    "text was sent": [["{}"]],
}


def heard(events: list[Event], operation: Operation = Operation.SPEECH) -> None:
    outputs = Outputs(Work(operation, "m", "m", {"input": "hi"}, "r"))
    for event in events:
        outputs.hear(event)


@pytest.mark.parametrize(
    "events",
    [
        [*WHOLE, DONE],
        [Media(bytes(MEDIA_BYTES), mime_type=MP3, last=True), DONE],
        [Media(b"ab", mime_type=MP3, size=2, last=True), DONE],
        [Media(b"p", preview=0, mime_type="image/png", last=True), *WHOLE, DONE],
    ],
)
def test_what_is_whole_passes(events: list[Event]) -> None:
    heard(events)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_is_an_error(name: str) -> None:
    with pytest.raises(MeshError) as caught:
        heard(BROKEN[name])
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_nobody_sends_bytes_for_text() -> None:
    heard([["{}"], DONE], Operation.CHAT)
    with pytest.raises(MeshError):
        heard([Media(b"a", mime_type=MP3)], Operation.CHAT)
