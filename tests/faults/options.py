"""What `make faults ARGS=...` can be told, and the lines that sum a run up."""

from __future__ import annotations

import argparse

import pytest

__all__ = ["SUMMARY", "mid_stream_runs", "seeds", "wants_all"]

FORMS = ("seeds", "switches", "mid_stream")
SUMMARY = pytest.StashKey[list[str]]()

SMALL_MID_STREAM = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the fault suite in tests/faults; without any of these, its small form")
    group.addoption(
        "--seeds",
        type=_range,
        metavar="N|A-B",
        help="only the table of faults, once for each seed from 1 to N or from A to B",
    )
    group.addoption("--seed", type=int, metavar="S", help="only the table of faults, with this seed")
    group.addoption(
        "--switches", action="store_true", help="only the proof that every fault can be seen to go wrong"
    )
    group.addoption("--mid-stream", type=int, metavar="N", help="only N failures in mid-stream")


def _range(text: str) -> list[int]:
    """N or A-B, the last one included."""
    first, dash, last = text.partition("-")
    found = [*range(int(first), int(last) + 1)] if dash else [*range(1, int(first) + 1)]
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no seed at all")
    return found


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "fault_form(name): which of the forms of the fault suite a test belongs to"
    )
    config.stash[SUMMARY] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A form that was asked for is the only one that runs."""
    asked = [form for form in FORMS if config.getoption(form)] + (
        ["seeds"] if config.getoption("seed") else []
    )
    if not asked:
        return
    marks = {item: item.get_closest_marker("fault_form") for item in items}
    dropped = [item for item, mark in marks.items() if mark is not None and mark.args[0] not in asked]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[SUMMARY]:
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.line(line)


def wants_all(config: pytest.Config) -> bool:
    """Whether the whole table was asked for."""
    return bool(config.getoption("seeds") or config.getoption("seed"))


def seeds(config: pytest.Config) -> list[int]:
    one = config.getoption("seed")
    return [one] if one else config.getoption("seeds") or [1]


def mid_stream_runs(config: pytest.Config) -> int:
    return config.getoption("mid_stream") or SMALL_MID_STREAM
