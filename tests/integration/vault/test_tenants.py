"""Tenants and what their keys demand: kept, told, and never left without an owner."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_vault.core import Core
from nexus_vault.journal import Synced
from nexus_vault.key_news import Revoked
from nexus_vault.key_ring import KeyRing
from nexus_vault.tenant_roll import TenantRoll
from support.vault import TurnableClock


async def _refusal(call: Awaitable[Any]) -> tuple[Reason, str | None]:
    with pytest.raises(MeshError) as refusal:
        await call
    return refusal.value.reason, refusal.value.metadata.get("param")


async def _reloaded(core: Core, clock: TurnableClock) -> tuple[KeyRing, TenantRoll]:
    keys = KeyRing(core.database, core.pepper, "live", clock)
    tenants = TenantRoll(core.database, keys, clock)
    await keys.load()
    await tenants.load()
    return keys, tenants


async def _next(watch: AsyncIterator[Any]) -> Any:
    return await asyncio.wait_for(anext(watch), 5)


async def test_a_key_without_a_tenant_is_the_default_ones(keys: KeyRing, tenants: TenantRoll) -> None:
    key, _ = await keys.create("laptop", None)
    tenant = tenants.of(key)
    assert (tenant.name, tenant.zone, tenant.weight) == ("default", "", 1)


async def test_what_key_and_tenant_demand_outlives_a_restart(
    core: Core, keys: KeyRing, tenants: TenantRoll, clock: TurnableClock
) -> None:
    await tenants.create("clinic", "restricted", 3)
    key, text = await keys.create("ward", None, tenant="clinic", zone="upstairs", manage=True)
    again, roll = await _reloaded(core, clock)
    assert again.authenticate(str(text)) == key
    assert (key.tenant, key.zone, key.manage) == ("clinic", "upstairs", True)
    assert roll.of(key) == tenants.of(key)


async def test_changes_are_stored_and_count_up(
    core: Core, keys: KeyRing, tenants: TenantRoll, clock: TurnableClock
) -> None:
    await tenants.create("clinic")
    key, text = await keys.create("ward", None, tenant="clinic")
    changed = await keys.update("ward", zone="restricted")
    assert (changed.zone, changed.manage) == ("restricted", False)
    assert keys.authenticate(str(text)) == changed
    assert (await keys.update(key.id, manage=True)).zone == "restricted"
    assert key.revision < changed.revision < keys.authenticate(str(text)).revision
    first = await tenants.update("clinic", zone="home", weight=7)
    assert (await tenants.update("clinic", zone="")).weight == 7
    again, roll = await _reloaded(core, clock)
    assert again.authenticate(str(text)) == keys.authenticate(str(text))
    assert roll.of(key) == tenants.of(key)
    assert roll.of(key).zone == ""
    assert 0 < first.revision < roll.of(key).revision


async def test_the_watch_tells_what_changed_before_and_then_each_change(
    core: Core, keys: KeyRing, tenants: TenantRoll, clock: TurnableClock
) -> None:
    await tenants.create("untouched", "restricted")
    await tenants.create("clinic")
    await keys.create("untouched", None, zone="restricted")
    await keys.create("ward", None, tenant="clinic")
    key, tenant = await keys.update("ward", zone="home"), await tenants.update("clinic", zone="home")
    again, roll = await _reloaded(core, clock)
    watch = again.news.follow()
    assert [await _next(watch), await _next(watch)] == [key, tenant]
    assert isinstance(await _next(watch), Synced)
    assert await roll.update("clinic", zone="restricted") == await _next(watch)
    assert await again.update("ward", zone="restricted") == await _next(watch)


async def test_a_tenant_with_live_keys_stays(keys: KeyRing, tenants: TenantRoll) -> None:
    await tenants.create("clinic")
    key, text = await keys.create("ward", None, tenant="clinic")
    assert await _refusal(tenants.delete("clinic")) == (Reason.INVALID_REQUEST, "tenant")
    assert keys.authenticate(str(text)) == key
    await keys.revoke("ward")
    await tenants.delete("clinic")
    assert [each.name for each in (await tenants.page(0, ""))[0]] == ["default"]
    assert await _refusal(keys.create("other", None, tenant="clinic")) == (Reason.OBJECT_NOT_FOUND, "tenant")


async def test_a_tenant_goes_with_its_expired_keys(
    core: Core, keys: KeyRing, tenants: TenantRoll, clock: TurnableClock
) -> None:
    """They are revoked with it: a clock set back brings no key to life whose tenant, and its demand, are gone."""
    first = await tenants.create("clinic", "restricted")
    key, text = await keys.create("ward", clock() + datetime.timedelta(seconds=1), tenant="clinic")
    watch = keys.news.follow()
    assert isinstance(await _next(watch), Synced)
    clock.turn(seconds=2)
    await tenants.delete("clinic")
    assert await _next(watch) == Revoked(key.id)
    clock.turn(seconds=-2)
    with pytest.raises(MeshError):
        tenants.of(key)
    second = await tenants.create("clinic")
    assert second.id != first.id
    for ring in (keys, (await _reloaded(core, clock))[0]):
        with pytest.raises(MeshError):
            ring.authenticate(str(text))


async def test_the_default_tenant_can_be_restricted_but_not_deleted(tenants: TenantRoll) -> None:
    assert (await tenants.update("default", zone="restricted")).zone == "restricted"
    assert await _refusal(tenants.delete("default")) == (Reason.INVALID_REQUEST, "tenant")


async def test_key_and_tenant_made_and_deleted_at_once_never_part(keys: KeyRing, tenants: TenantRoll) -> None:
    for number in range(20):
        await tenants.create("brief")
        made, gone = await asyncio.gather(
            keys.create(f"key {number}", None, tenant="brief"),
            tenants.delete("brief"),
            return_exceptions=True,
        )
        assert isinstance(made, MeshError) != isinstance(gone, MeshError)
        if not isinstance(made, BaseException):
            tenants.of(made[0])
            await keys.revoke(made[0].id)
            await tenants.delete("brief")


@pytest.mark.parametrize("name", ["", "Clinic", "a b", "-a", "a" * 64, "ä"])
async def test_unfit_names_are_refused(tenants: TenantRoll, name: str) -> None:
    assert await _refusal(tenants.create(name)) == (Reason.INVALID_REQUEST, "name")


@pytest.mark.parametrize("zone", ["Restricted", "a b", "-", "a" * 64])
async def test_unfit_zones_are_refused(keys: KeyRing, tenants: TenantRoll, zone: str) -> None:
    await keys.create("ward", None)
    for call in (
        tenants.create("clinic", zone),
        tenants.update("default", zone=zone),
        keys.create("laptop", None, zone=zone),
        keys.update("ward", zone=zone),
    ):
        assert await _refusal(call) == (Reason.INVALID_REQUEST, "zone")


@pytest.mark.parametrize("weight", [-1, 0, 1001])
async def test_unfit_weights_are_refused(tenants: TenantRoll, weight: int) -> None:
    assert await _refusal(tenants.create("clinic", "", weight)) == (Reason.INVALID_REQUEST, "weight")
    assert await _refusal(tenants.update("default", weight=weight)) == (Reason.INVALID_REQUEST, "weight")


async def test_what_is_not_there_cannot_be_changed(keys: KeyRing, tenants: TenantRoll) -> None:
    await keys.create("gone", None)
    await keys.revoke("gone")
    assert await _refusal(keys.update("gone", zone="home")) == (Reason.OBJECT_NOT_FOUND, "key")
    assert await _refusal(keys.update("never", zone="home")) == (Reason.OBJECT_NOT_FOUND, "key")
    assert await _refusal(tenants.update("never", zone="home")) == (Reason.OBJECT_NOT_FOUND, "tenant")
    assert await _refusal(tenants.delete("never")) == (Reason.OBJECT_NOT_FOUND, "tenant")
    await tenants.create("clinic")
    assert (await _refusal(tenants.create("clinic")))[0] is Reason.ALREADY_EXISTS
