"""Each test of a task table runs on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_tasks import TaskTable
from support.task_tables import Clock, opened


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """An empty place for a table."""
    if request.param == "sqlite":
        return tmp_path / "tasks.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def table(where: Path | str, clock: Clock) -> AsyncIterator[TaskTable]:
    async with opened(where, clock) as table:
        yield table
