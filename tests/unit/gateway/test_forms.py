"""Forms come in any pieces, and mean the same."""

from __future__ import annotations

import itertools
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from nexus.inference.v1 import inference_pb2
from nexus_gateway.core import Files
from nexus_gateway.intake import BodyBudget, Form, FormLimits, Hold, Spool, read_form
from nexus_mesh.core import MeshError, Reason
from nexus_operations import LARGEST_CHUNK, Operation, Times
from support.properties import examples, given

BOUNDARY = "a1b2"
SOUND = bytes(range(256)) * 4 + b"\r\n--a1b\r\n--a1b\r\r\n-"
"""With what nearly ends a part in it."""


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(name: str = "file", content: bytes = SOUND) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.wav"\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
SDK = field("model", "m") + field("timestamp_granularities[]", "word") + file() + END
CURL = file() + field("model", "m") + field("timestamp_granularities[]", "word") + END


async def pieces(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    for start, stop in itertools.pairwise(places):
        if start < stop:
            yield body[start:stop]


async def opened(body: bytes, cuts: list[int], *, small: bool, budget: BodyBudget | None = None) -> Form:
    room = budget or BodyBudget(10**8, 0.5, 0.0)
    return await read_form(
        Operation.TRANSCRIPTION,
        pieces(body, cuts),
        BOUNDARY,
        {"file": Times()},
        FormLimits(10**7, len(body) if small else 1 << 30),
        lambda: Spool(Hold(room, "t")),
    )


async def test_a_form_of_unknown_length_may_have_its_fields_in_any_order() -> None:
    """As OpenAI's client for Node sends it: in pieces, and as the caller wrote the object down."""
    body = field("model", "m") + file() + field("response_format", "srt") + END
    room = BodyBudget(10**8, 0.5, 0.0)
    form = await read_form(
        Operation.TRANSCRIPTION,
        pieces(body, [50, 200]),
        BOUNDARY,
        {"file": Times()},
        FormLimits(10**7, None),
        lambda: Spool(Hold(room, "t")),
    )
    assert form.fields == {"model": "m", "response_format": "srt"}
    assert await content(form.files) == SOUND
    form.files.close()


async def content(files: Files) -> bytes:
    read = bytearray()
    async for step in files.steps():
        if isinstance(step, inference_pb2.Part):
            assert (step.name, step.filename) == ("file", "a.wav")
        else:
            assert 0 < len(step) <= LARGEST_CHUNK
            read += step
    return bytes(read)


@pytest.mark.parametrize(
    ("body", "small", "kept"), [(SDK, False, False), (SDK, True, True), (CURL, False, True)]
)
@given(cuts=st.lists(st.integers(0, 2**20), max_size=30))
async def test_it_is_the_same_in_any_pieces(body: bytes, small: bool, kept: bool, cuts: list[int]) -> None:
    form = await opened(body, cuts, small=small)
    try:
        assert form.fields == {"model": "m", "timestamp_granularities": ["word"]}
        assert isinstance(form.files, Spool) is kept
        assert await content(form.files) == SOUND
        assert form.files.can_be_sent_again is kept
        if kept:
            assert await content(form.files) == SOUND
    finally:
        form.files.close()


async def test_what_goes_on_is_in_small_pieces() -> None:
    large = os.urandom(1_000_000)
    form = await opened(field("model", "m") + file(content=large) + END, [], small=False)
    assert await content(form.files) == large


@examples(500)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
async def test_any_bytes_are_refused_in_words(body: bytes, cuts: list[int]) -> None:
    with pytest.raises(MeshError) as refused:
        await opened(body, cuts, small=True)
    assert refused.value.reason is Reason.INVALID_REQUEST


async def _read(body: bytes) -> bytes:
    return await content((await opened(body, [1000], small=False)).files)


@examples(500)
@given(st.integers(0, len(SDK) - len(END)))
async def test_one_that_was_cut_off_is_never_whole(length: int) -> None:
    with pytest.raises(MeshError) as refused:
        await _read(SDK[:length])
    assert refused.value.reason is Reason.INVALID_REQUEST


async def test_what_is_kept_has_no_name_and_nobody_elses_eyes() -> None:
    form = await opened(CURL, [], small=False)
    kept: Any = form.files
    told = os.fstat(kept._file.fileno())
    assert (told.st_nlink, stat.S_IMODE(told.st_mode)) == (0, 0o600)
    form.files.close()


async def test_it_counts_against_its_owner_and_is_given_back() -> None:
    budget = BodyBudget(5 * len(SOUND) // 2, 0.5, 0.0)
    form = await opened(CURL, [], small=False, budget=budget)
    assert budget.used == len(SOUND)
    with pytest.raises(MeshError) as refused:
        await opened(CURL, [], small=False, budget=budget)
    assert refused.value.reason is Reason.RATE_LIMIT
    form.files.close()
    assert budget.used == 0


EDIT = {"image": Times(most=2), "mask": Times(least=0)}


async def names_of(*parts: bytes) -> list[str]:
    body = field("model", "m") + field("prompt", "x") + b"".join(parts) + END
    limits, room = FormLimits(10**7, len(body)), BodyBudget(10**8, 0.5, 0.0)
    form = await read_form(
        Operation.IMAGE_EDIT, pieces(body, []), BOUNDARY, EDIT, limits, lambda: Spool(Hold(room, "t"))
    )
    try:
        return [step.name async for step in form.files.steps() if isinstance(step, inference_pb2.Part)]
    finally:
        form.files.close()


async def test_files_may_be_several_or_left_out() -> None:
    one, other, mask = file("image"), file("image[]"), file("mask")
    assert await names_of(one) == ["image"]
    assert await names_of(other, mask, one) == ["image", "mask", "image"]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([file("mask")], "'image' is required"),
        ([file("image")] * 3, "'image' takes 2 files"),
        ([file("image"), file("mask"), file("mask")], "'mask' takes one file"),
        ([file("image"), field("mask", "x")], "'mask' must be a file"),
        ([file("image"), file("file")], "'file' is no file that is taken here"),
    ],
)
async def test_and_not_otherwise(parts: list[bytes], told: str) -> None:
    with pytest.raises(MeshError, match=told) as refused:
        await names_of(*parts)
    assert refused.value.reason is Reason.INVALID_REQUEST


class Full:
    """A disk without room."""

    def write(self, _: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None: ...


@pytest.mark.parametrize("around", [(b"x" * 200_000 + b"\r\n", b""), (b"", b"x" * 200_000)])
async def test_what_belongs_to_no_part_is_not_read_for_ever(around: tuple[bytes, bytes]) -> None:
    cuts = list(range(0, 500_000, 10_000))
    with pytest.raises(MeshError) as refused:
        await opened(around[0] + SDK + around[1], cuts, small=True)
    assert "does not belong" in refused.value.message


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MeshError) as refused:
        Spool(Hold(BodyBudget(1, 0.5, 0.0), "t"), tmp_path / "none")
    assert (refused.value.reason, "`spool`" in refused.value.message) == (Reason.OVERLOAD, True)


async def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(MeshError) as refused:
        await opened(CURL, [], small=False)
    assert refused.value.reason is Reason.OVERLOAD
    assert "no room on its disk" in refused.value.message
