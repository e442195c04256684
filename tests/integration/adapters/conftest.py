"""The bench every adapter test works at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.adapter_host import Bench, adapter_bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with adapter_bench() as bench:
        yield bench


@pytest.fixture
async def impatient() -> AsyncIterator[Bench]:
    """A bench whose limits are short enough to be met in a test."""
    async with adapter_bench(connect=0.5, first_token=0.4, stall=0.4, total=3.0) as bench:
        yield bench
