"""Refusals in the log: the first few of a kind each minute, then how many there were."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.middleware import Call, Report
from structlog.testing import capture_logs

pytestmark = pytest.mark.security


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refuse(report: Report, reason: Reason = Reason.CALLER_KEY, method: str = "/s/M") -> None:
    call = cast(Call, SimpleNamespace(method=method, caller=None))
    report.end(call, MeshError(reason, "no"))


def test_a_flood_is_ten_lines_a_minute() -> None:
    """A17: each wrong key wrote a line of 500 bytes at the vault."""
    clock = Clock()
    report = Report(clock)
    with capture_logs() as lines:
        for _ in range(5000):
            refuse(report)
        clock.now += Report.SECONDS
        refuse(report)
    told: list[Any] = [line["untold"] for line in lines]
    assert told == [None] * Report.LOGGED + [5000 - Report.LOGGED]


def test_other_kinds_are_told_beside_it() -> None:
    report = Report(Clock())
    with capture_logs() as lines:
        for _ in range(100):
            refuse(report)
        refuse(report, Reason.MESH_POLICY)
        refuse(report, method="/s/N")
    assert [(line["reason"], line["method"]) for line in lines[-2:]] == [
        ("MESH_POLICY", "/s/M"),
        ("CALLER_KEY", "/s/N"),
    ]


def test_it_remembers_only_so_many_kinds() -> None:
    report = Report(Clock())
    with capture_logs():
        for number in range(Report.KEPT + 100):
            refuse(report, method=f"/s/{number}")
    assert len(report._seen) == Report.KEPT
