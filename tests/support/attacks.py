"""Counts the attacks of a run: tests marked `security`, each as one, or as many as it says it has played."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

__all__ = ["Attacks"]

PLAYED = "attacks"
MARK = "security"


class Attacks:
    """Asked for by a test that plays several attacks in one go."""

    def __init__(self) -> None:
        self.played = 0

    def count(self, number: int = 1) -> None:
        """So many more were tried."""
        self.played += number


@pytest.fixture
def attacks(record_property: Callable[[str, object], None]) -> Iterator[Attacks]:
    """What a test says it has tried beyond one attack."""
    counted = Attacks()
    yield counted
    record_property(PLAYED, counted.played)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line when the attacks were what the run was about."""
    if MARK not in str(terminalreporter.config.getoption("markexpr")):
        return
    tried = held = 0
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            if MARK in report.keywords:
                number = _played(report)
                tried += number
                held += number if outcome == "passed" else 0
    terminalreporter.write_line(f"{tried} attacks tried, {held} held")


def _played(report: pytest.TestReport) -> int:
    """Those of a test that failed count as not held altogether."""
    return max([1, *(int(str(value)) for name, value in report.user_properties if name == PLAYED)])
