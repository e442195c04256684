"""The messages of an upload in the one order they may come in."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_operations import LARGEST_CHUNK, Times, UploadError, UploadOrder

ONE = {"file": Times()}
Message = inference_pb2.UploadRequest
FILE = Message(part=inference_pb2.Part(name="file"))
START = Message(start=inference_pb2.UploadStart())


def sized(size: int) -> Message:
    return Message(part=inference_pb2.Part(name="file", size=size))


def end(size: int) -> Message:
    return Message(end=inference_pb2.UploadEnd(size=size))


def told(*messages: Message, wanted: Mapping[str, Times] = ONE) -> UploadOrder:
    order = UploadOrder(wanted)
    for message in messages:
        order.hear(message)
    order.closed()
    return order


@pytest.mark.parametrize("messages", [
    (FILE, Message(chunk=b"abc"), end(3)),
    (sized(4), Message(chunk=b"ab"), Message(chunk=b"cd"), end(4)),
    (FILE, end(0)),
    (FILE, Message(chunk=bytes(LARGEST_CHUNK)), end(LARGEST_CHUNK)),
])  # fmt: skip
def test_a_whole_one(messages: tuple[Message, ...]) -> None:
    assert told(*messages).whole


@pytest.mark.parametrize(("messages", "why"), [
    ((), "cut off"),
    ((FILE, Message(chunk=b"abc")), "cut off"),
    ((Message(chunk=b"abc"),), "before the part"),
    ((FILE, Message(chunk=b"abc"), end(2)), "some were lost"),
    ((FILE, Message(chunk=b"abc"), end(3), Message(chunk=b"d")), "may follow"),
    ((FILE, Message(chunk=bytes(LARGEST_CHUNK + 1))), "may have"),
    ((sized(2), Message(chunk=b"abc")), "more bytes"),
    ((sized(4), Message(chunk=b"abc"), end(3)), "told of 4"),
    ((end(0),), "is missing: file"),
    ((FILE, Message(chunk=b"a"), FILE), "are file, up to 1"),
    ((Message(part=inference_pb2.Part(name="mask")),), "are file, up to 1"),
    ((Message(event="{}"),), "no events"),
    ((START,), "goes on with"),
    ((Message(),), "goes on with"),
])  # fmt: skip
def test_one_that_breaks_the_contract(messages: tuple[Message, ...], why: str) -> None:
    with pytest.raises(UploadError, match=why):
        told(*messages)


def test_one_that_is_too_large_is_so_by_its_bytes() -> None:
    order = UploadOrder(ONE, 4)
    order.hear(FILE)
    order.hear(Message(chunk=b"abcd"))
    assert not order.too_large
    with pytest.raises(UploadError, match="larger than the 4 bytes"):
        order.hear(Message(chunk=b"e"))
    assert order.too_large


EDIT = {"image": Times(most=2), "mask": Times(least=0)}


def named(*names: str) -> list[Message]:
    return [Message(part=inference_pb2.Part(name=name)) for name in names]


@pytest.mark.parametrize(
    "names", [("image",), ("image", "image"), ("mask", "image"), ("image", "mask", "image")]
)
def test_files_of_one_name_come_as_often_as_they_may(names: tuple[str, ...]) -> None:
    assert told(*named(*names), end(0), wanted=EDIT).whole


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("mask",), "is missing: image"),
        (("image", "mask", "mask"), "are image, up to 2, and mask, up to 1"),
        (("image", "image", "image"), "up to 2"),
    ],
)
def test_and_not_more_or_less_often(names: tuple[str, ...], why: str) -> None:
    with pytest.raises(UploadError, match=why):
        told(*named(*names), end(0), wanted=EDIT)
