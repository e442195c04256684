"""An opened vault on a real file, and the clock it lives by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_vault.core import Core, open_core
from nexus_vault.join_tokens import JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.tenant_roll import TenantRoll
from support.vault import TurnableClock, vault_settings


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest_asyncio.fixture
async def core(tmp_path: Path, clock: TurnableClock) -> AsyncIterator[Core]:
    async with open_core(vault_settings(tmp_path), clock) as opened:
        yield opened


@pytest.fixture
def tokens(core: Core, clock: TurnableClock) -> JoinTokens:
    return JoinTokens(core.database, core.pepper, clock)


@pytest_asyncio.fixture
async def keys(core: Core, clock: TurnableClock) -> KeyRing:
    ring = KeyRing(core.database, core.pepper, "live", clock)
    await ring.load()
    return ring


@pytest_asyncio.fixture
async def tenants(core: Core, keys: KeyRing, clock: TurnableClock) -> TenantRoll:
    """Whom `keys` belong to; both tell what changes in one place."""
    roll = TenantRoll(core.database, keys, clock)
    await roll.load()
    return roll
