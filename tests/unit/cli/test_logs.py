"""E9, E20: logs are kept in bounds, and a process's last words are told in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from nexus_cli import logs

MOST = 1000


def all_of(log: Path) -> list[Path]:
    return sorted(log.parent.glob(f"{log.name}*"))


def test_a_log_is_moved_aside_when_it_is_too_large(tmp_path: Path) -> None:
    log = tmp_path / "adapter.log"
    with log.open("ab") as appending:  # as a process has it open
        for number in range(8):
            appending.write(b"%d" % number * (MOST + 1))
            appending.flush()
            logs.cap(log, MOST)
            assert log.stat().st_size == 0
        appending.write(b"next")
        appending.flush()
    assert log.read_bytes() == b"next"
    assert [path.name for path in all_of(log)] == [
        "adapter.log",
        *(f"adapter.log.{n}" for n in range(1, logs.KEPT + 1)),
    ]
    kept = [log.with_name(f"adapter.log.{number}").read_bytes()[:1] for number in range(1, logs.KEPT + 1)]
    assert kept == [b"7", b"6", b"5", b"4"]
    assert all(path.stat().st_size <= MOST for path in all_of(log))


def test_a_log_within_its_bounds_and_one_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "adapter.log"
    logs.cap(log, MOST)
    log.write_bytes(b"x" * MOST)
    logs.cap(log, MOST)
    assert [path.name for path in all_of(log)] == ["adapter.log"]


def test_what_cannot_be_copied_is_cut_all_the_same(tmp_path: Path) -> None:
    """A full disk is no reason to fill it further."""
    log = tmp_path / "adapter.log"
    log.write_bytes(b"x" * (MOST + 1))
    (tmp_path / "adapter.log.part").mkdir()
    logs.cap(log, MOST)
    assert log.stat().st_size == 0


def event(level: str, **more: str) -> str:
    return json.dumps({"level": level, "event": "cannot run", **more})


ETCD = '{"level":"warn","ts":"2026","caller":"embed/etcd.go:1","msg":"found"}'
WORDS = [
    (
        [event("info", event="serving"), event("error", detail="The store is damaged: restore a backup.")],
        "The store is damaged",
    ),
    ([event("error", detail="first"), event("info", event="stopped")], "first"),
    (["nexus-gateway: queue.wiat: is not a known setting"], "queue.wiat: is not a known setting"),
    (
        ["Traceback (most recent call last):", '  File "x.py", line 3, in f', "KeyError: 'secret'"],
        "nobody thought of (KeyError)",
    ),
    ([ETCD, "panic: failed to open database", "goroutine 109 [running]:"], "Move the folder etcd/data"),
    (
        [
            ETCD,
            '{"level":"fatal","caller":"x","msg":"failed to create WAL","error":"no space left on device"}',
        ],
        "the disk is full",
    ),
    (
        [ETCD, '{"level":"fatal","caller":"x","error":"listen tcp: bind: address already in use"}'],
        "taken by another program",
    ),
]


@pytest.mark.parametrize(("lines", "words"), WORDS)
def test_last_words_are_a_sentence(lines: list[str], words: str) -> None:
    told = logs.last_words(lines)
    assert words in told
    assert not any(raw in told for raw in ("goroutine", "Traceback", "secret", "{", "panic"))


@pytest.mark.parametrize("lines", [[], ["", "some words"], [event("info")], [ETCD]])
def test_what_says_nothing_of_an_end_is_not_taken_for_it(lines: list[str]) -> None:
    assert logs.last_words(lines) == ""


def test_the_tail_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert logs.tail(tmp_path / "none.log", 5) == []
    (tmp_path / "some.log").write_bytes(b"a\nb\n\xff\n" + os.linesep.encode())
    assert logs.tail(tmp_path / "some.log", 3)[0] == "b"
