"""API keys in use: live ones in memory, so that authentication asks no disk; every change is stored first."""

from __future__ import annotations

import datetime
import hmac
from typing import Any

import prometheus_client
from nexus_mesh.core import MeshError, Reason, telemetry
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault import key_table
from nexus_vault.clock import Clock, utc_now
from nexus_vault.database import Database
from nexus_vault.key_news import News, Revoked
from nexus_vault.keys import Key, KeyText
from nexus_vault.pepper import Pepper
from nexus_vault.tables import api_keys
from nexus_vault.tenants import DEFAULT_TENANT, check_zone

__all__ = ["KeyRing"]

MAX_NAME = 64
NO_DIGEST = bytes(32)  # compared with when the id is unknown, so that both refusals do the same work

log = telemetry.logger("vault")
CHECKED = prometheus_client.Counter(
    "nexus_vault_keys_checked_total", "API keys checked, by outcome.", ["outcome"]
)
ACCEPTED, REFUSED = CHECKED.labels("accepted"), CHECKED.labels("refused")


class KeyRing:
    """The keys of one environment. Who is revoked or changed is told in `news`."""

    def __init__(self, database: Database, pepper: Pepper, environment: str, clock: Clock = utc_now) -> None:
        self._database = database
        self._pepper = pepper
        self._environment = environment
        self._clock = clock
        self._live: dict[str, tuple[Key, bytes]] = {}
        self.news = News()

    async def load(self) -> None:
        """Reads all keys from the store."""
        for key, digest in await key_table.all_keys(self._database):
            if key.revoke_time is not None:
                self.news.append(Revoked(key.id))
                continue
            self._live[key.id] = (key, digest)
            if key.revision:
                self.news.append(key)

    def authenticate(self, text: str) -> Key:
        """Whose key this is. Raises MeshError CALLER_KEY: one answer for all that is wrong with it."""
        parts = KeyText.parse(text)
        if parts is not None and parts.environment == self._environment:
            key, expected = self._live.get(parts.id, (None, NO_DIGEST))
            is_right = hmac.compare_digest(self._digest(parts), expected)
            if is_right and key is not None and not _ended(key, self._clock()):
                ACCEPTED.inc()
                return key
        REFUSED.inc()
        raise MeshError(Reason.CALLER_KEY, "The API key is unknown, wrong, revoked or expired.")

    async def create(
        self,
        name: str,
        expire_time: datetime.datetime | None,
        *,
        tenant: str = DEFAULT_TENANT,
        zone: str = "",
        manage: bool = False,
    ) -> tuple[Key, KeyText]:
        """A new key and its text, kept nowhere else.

        Raises MeshError INVALID_REQUEST, ALREADY_EXISTS or, for the tenant, OBJECT_NOT_FOUND.
        """
        now = self._clock()
        _check(name, expire_time, now)
        check_zone(zone)
        text = KeyText.new(self._environment)
        key = Key(text.id, name, now, expire_time, tenant=tenant, zone=zone, manage=manage)
        digest = self._digest(text)

        async def store(connection: AsyncConnection) -> list[str]:
            retired = await key_table.retire_expired(connection, api_keys.c.name == name, now)
            await key_table.insert(connection, key, digest)
            return retired

        def publish(retired: list[str]) -> None:
            self._live[key.id] = (key, digest)
            for key_id in retired:
                self.forget(key_id)

        await self._database.write(store, publish)
        log.info("key created", key=key.id, name=name, tenant=tenant)
        return key, text

    async def update(self, id_or_name: str, *, zone: str | None = None, manage: bool | None = None) -> Key:
        """A live key with what is not None changed. Raises MeshError INVALID_REQUEST or OBJECT_NOT_FOUND."""
        changes: dict[str, Any] = {}
        if zone is not None:
            check_zone(zone)
            changes["zone"] = zone
        if manage is not None:
            changes["manage"] = manage
        now = self._clock()
        return await self._database.write(
            lambda connection: key_table.change(connection, id_or_name, changes, now), self._tell
        )

    async def revoke(self, id_or_name: str) -> Key:
        """Ends a key; twice is no error. Raises MeshError OBJECT_NOT_FOUND."""
        now = self._clock()
        return await self._database.write(
            lambda connection: key_table.revoke(connection, id_or_name, now), lambda key: self.forget(key.id)
        )

    async def page(self, size: int, token: str) -> tuple[list[Key], str]:
        """One page of all keys, newest first, and the token of the next. Raises MeshError INVALID_REQUEST."""
        return await key_table.page(self._database, size, token)

    def forget(self, key_id: str) -> None:
        """The store says that this key is revoked."""
        if self._live.pop(key_id, None) is not None:
            self.news.append(Revoked(key_id))
            log.info("key revoked", key=key_id)

    def _tell(self, key: Key) -> None:
        if key.id in self._live:
            self._live[key.id] = (key, self._live[key.id][1])
            self.news.append(key)
            log.info("key changed", key=key.id, zone=key.zone, manage=key.manage)

    def _digest(self, text: KeyText) -> bytes:
        return self._pepper.digest(b"key", text.secret)


def _ended(key: Key, now: datetime.datetime) -> bool:
    return key.expire_time is not None and key.expire_time <= now


def _check(name: str, expire_time: datetime.datetime | None, now: datetime.datetime) -> None:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"name must be 1 to {MAX_NAME} printable characters, without spaces at its ends.",
            metadata={"param": "name"},
        )
    if expire_time is not None and expire_time <= now:
        raise MeshError(
            Reason.INVALID_REQUEST, "expire_time must be in the future.", metadata={"param": "expire_time"}
        )
