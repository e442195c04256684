"""Revisions on the disk, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from nexus_router.policy.files import KEPT, Record, RevisionFiles


@pytest.fixture
def files(tmp_path: Path) -> RevisionFiles:
    files = RevisionFiles(tmp_path / "router" / "policy")
    files.open()
    return files


def record(number: int, author: str = "me") -> Record:
    return Record(revision=number, author=author, policy={"aliases": {"a": f"m{number}"}})


def test_what_was_written_is_read(files: RevisionFiles) -> None:
    files.write(record(1))
    assert files.read(1) == record(1).model_copy(update={"time": files.read(1).time})
    assert (files.folder.stat().st_mode & 0o777, files.path(1).stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_last_hundred_are_kept(files: RevisionFiles) -> None:
    for number in range(1, KEPT + 6):
        files.write(record(number))
    assert files.numbers() == list(range(KEPT + 5, 5, -1))


def damaged(whole: bytes) -> dict[str, bytes]:
    return {
        "cut": whole[:-20],
        "empty": b"",
        "zeros": bytes(len(whole)),
        "garbage": os.urandom(len(whole)),
        "not an object": b"[]",
        "changed": whole.replace(b'"me"', b'"you"'),
        "no checksum": b'{"revision": 7, "author": "me", "policy": null}',
        "deep": b"[" * 100_000,
        "another's": record(8).encode(),
    }


@pytest.mark.parametrize("how", damaged(record(7).encode()))
def test_a_file_that_is_not_what_was_written_is_refused_by_name(files: RevisionFiles, how: str) -> None:
    files.path(7).write_bytes(damaged(record(7).encode())[how])
    with pytest.raises(ValueError, match=r"7\.json cannot be used"):
        files.read(7)


def test_every_cut_is_noticed(files: RevisionFiles) -> None:
    whole = record(7).encode()
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="damaged"):
            Record.decode(whole[:length])
    assert Record.decode(whole)


def test_parts_of_a_killed_writer_are_removed_and_nothing_else(files: RevisionFiles) -> None:
    files.write(record(3))
    part = files.folder / ".4.json.k2j3h4.part"
    part.write_bytes(record(4).encode()[:30])
    (files.folder / "notes.txt").write_text("mine")
    again = RevisionFiles(files.folder)
    again.open()
    assert again.numbers() == [3]
    assert not part.exists()
    assert (files.folder / "notes.txt").exists()
    assert again.next_number() == 4


def test_a_number_is_given_once_even_if_its_file_cannot_be_read(files: RevisionFiles) -> None:
    files.path(9).write_bytes(b"garbage")
    again = RevisionFiles(files.folder)
    again.open()
    assert (again.next_number(), again.next_number()) == (10, 11)


def test_what_could_not_be_written_is_not_there(files: RevisionFiles) -> None:
    files.path(1).mkdir()
    (files.path(1) / "in the way").touch()
    with pytest.raises(OSError, match="directory"):
        files.write(record(1))
    assert [path.name for path in files.folder.iterdir()] == ["1.json"]
