"""What runs at each claim walks along an index, however many tasks there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus_database.sqlite import Sqlite
from nexus_tasks import reading
from nexus_tasks.claiming import CANDIDATES, DUE, LATE, LOST, STALE
from nexus_tasks.schema import SCHEMA

CHANGES = (
    f"SELECT {reading.COLUMNS} FROM tasks WHERE (revision, id) > (?, ?) AND revision < ? "  # noqa: S608
    "ORDER BY revision, id LIMIT ?"
)


@pytest.mark.parametrize(
    ("statement", "values"),
    [(STALE, 3), (DUE, 1), (LOST, 1), (LATE, 1), (CANDIDATES, 3), (CHANGES, 4)],
    ids=["stale", "due", "lost", "late", "candidates", "changes"],
)
def test_it_walks_along_an_index(tmp_path: Path, statement: str, values: int) -> None:
    driver = Sqlite(tmp_path / "tasks.db", SCHEMA)
    driver.upgrade()
    plan = [row[-1] for row in driver.rows(f"EXPLAIN QUERY PLAN {statement}", [1] * values)]
    driver.close()
    steps = [step for step in plan if "tasks" in step]
    assert steps
    assert all(step.startswith("SEARCH tasks USING ") for step in steps), plan
    assert not [step for step in plan if "TEMP B-TREE" in step], "sorted as it is walked"
