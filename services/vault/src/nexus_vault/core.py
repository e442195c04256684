"""Opens a vault: store, seal key, pepper, CA. Founds one where there is none."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography import x509
from nexus_mesh.core import private_folder
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.ca import store
from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.clock import Clock, utc_now
from nexus_vault.config import VaultSettings
from nexus_vault.database import Database
from nexus_vault.errors import VaultUnusableError
from nexus_vault.pepper import PEPPER_BYTES, Pepper
from nexus_vault.seal import Label, Seal, SealBrokenError
from nexus_vault.seal_key import load_seal_key
from nexus_vault.secret_store import any_secret, load_secret, save_secret

__all__ = ["Core", "open_core"]

PEPPER = Label("pepper", "main", 1)
ISSUING_MARGIN = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Core:
    """An opened vault."""

    database: Database
    seal: Seal
    pepper: Pepper
    authority: IssuingAuthority

    async def renew_issuing_if_due(self, now: datetime.datetime) -> None:
        """Replaces the issuing CA a month before its end."""
        if self.authority.issuing.certificate.not_valid_after_utc - now < ISSUING_MARGIN:
            trust_domain = self.authority.trust_domain
            self.authority.issuing = await store.renew_issuing(self.database, self.seal, trust_domain, now)


@asynccontextmanager
async def open_core(settings: VaultSettings, clock: Clock = utc_now) -> AsyncIterator[Core]:
    """The vault in the settings' store, founded first if it is new. Raises VaultUnusableError."""
    private_folder(settings.folder)
    database = await Database.open(settings.store_url)
    try:
        seal = await _unseal(settings, database, clock())
        try:
            pepper = Pepper(await load_secret(database, seal, PEPPER))
            authority = await _load_authority(settings, database, seal, clock)
            core = Core(database, seal, pepper, authority)
            await core.renew_issuing_if_due(clock())
        except SealBrokenError:
            raise VaultUnusableError(
                f"The seal key {settings.seal_key_path} does not open the store {settings.store_name}:"
                " put back the key this store was made with, or the store that belongs to this key."
            ) from None
        yield core
    finally:
        await database.close()


async def _unseal(settings: VaultSettings, database: Database, now: datetime.datetime) -> Seal:
    founded = await any_secret(database)
    seal = Seal(load_seal_key(settings.seal_key_path, may_create=not founded))

    async def found(connection: AsyncConnection) -> None:
        await store.found(connection, seal, settings.trust_domain, now)
        await save_secret(connection, seal, PEPPER, secrets.token_bytes(PEPPER_BYTES))

    if not founded:
        await database.write(found)
    return seal


async def _load_authority(
    settings: VaultSettings, database: Database, seal: Seal, clock: Clock
) -> IssuingAuthority:
    roots = await store.load_certificates(database, store.ROOT)
    _check_owner(settings, roots[-1])
    issuing = await store.load(database, seal, store.ISSUING)
    ttl = datetime.timedelta(seconds=settings.certificate_ttl)
    return IssuingAuthority(settings.trust_domain, roots, issuing, ttl, clock)


def _check_owner(settings: VaultSettings, root: x509.Certificate) -> None:
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (owner,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    if owner != f"spiffe://{settings.trust_domain}":
        raise VaultUnusableError(
            f"The store {settings.store_name} belongs to the mesh {owner.removeprefix('spiffe://')},"
            f" and trust_domain says {settings.trust_domain}: set it back, or use another home."
        )
