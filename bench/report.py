"""The results as tables, on the terminal and in markdown, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.budgets import Results, Verdict

__all__ = ["machine", "markdown", "save"]

BARE = "bare backend"


def machine() -> dict[str, Any]:
    """Where it ran: what a reader needs to judge the figures."""
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": sys.version.split()[0],
        "load_average_at_start": round(os.getloadavg()[0], 1),
    }


def markdown(title: str, facts: Mapping[str, Any], found: Results, verdicts: Sequence[Verdict]) -> str:
    """The whole report."""
    parts = [f"# {title}", "", ", ".join(f"{key}: {value}" for key, value in facts.items()), ""]
    parts += ["## Budgets", "", *_table(("what", "target", "figure", "verdict"), _budget_rows(verdicts))]
    for scenario, by_subject in found.items():
        parts += ["", f"## {scenario}", "", *_scenario(by_subject)]
    return "\n".join(parts) + "\n"


def save(
    folder: Path, name: str, text: str, document: Mapping[str, Any], verdicts: Sequence[Verdict]
) -> None:
    """<name>.md and <name>.json."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    body = {**document, "budgets": [asdict(verdict) for verdict in verdicts]}
    (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n")


def _budget_rows(verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    return [(row.what, row.target, row.figure, row.verdict) for row in verdicts]


def _scenario(by_subject: Mapping[str, Mapping[str, float]]) -> list[str]:
    metrics = list(dict.fromkeys(name for figures in by_subject.values() for name in figures))
    rows = []
    for name in metrics:
        cells = [figures.get(name) for figures in by_subject.values()]
        rows.append((name, *("" if value is None else f"{value:,.4g}" for value in cells)))
    return _table(("", *by_subject), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A markdown table padded so that it reads well on a terminal too."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]
