"""P-05: withdrawn identities are told to everyone, and stay withdrawn."""

from __future__ import annotations

import asyncio

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_vault.core import Core
from nexus_vault.trust import Trust
from support.vault import spiffe

WORKER = spiffe("adapter", "ollama", node="worker")


async def test_a_denial_is_told_stored_and_told_again_after_a_restart(core: Core) -> None:
    trust = Trust(core.database, core.authority)
    await trust.load()
    watch = trust.current.follow()
    first = await anext(watch)
    await trust.deny(WORKER, "", "operator")
    second = await asyncio.wait_for(anext(watch), 5)
    assert (first.denied, second.denied) == (frozenset(), {str(WORKER)})
    assert second.revision > first.revision
    assert second.bundle_pem == first.bundle_pem == core.authority.bundle_pem
    again = Trust(core.database, core.authority)
    await again.load()
    assert again.current.value == second


async def test_a_denied_identity_is_refused_and_others_are_not(core: Core) -> None:
    trust = Trust(core.database, core.authority)
    await trust.deny(WORKER, "", "operator")
    with pytest.raises(MeshError) as refusal:
        trust.check(WORKER)
    assert refusal.value.reason is Reason.MESH_IDENTITY
    trust.check(spiffe("adapter", "ollama", node="other"))


async def test_denying_twice_is_one_change(core: Core) -> None:
    trust = Trust(core.database, core.authority)
    await asyncio.gather(*(trust.deny(WORKER, "", "operator") for _ in range(10)))
    first = trust.current.value
    await trust.deny(WORKER, "again", "operator")
    assert trust.current.value is first
