"""The bench every test here works at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.gateway_bench import GatewayBench, open_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[GatewayBench]:
    async with open_bench(tmp_path) as opened:
        yield opened
