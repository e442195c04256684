"""A real vault for tests: settings in a temporary home, a clock to turn, and the whole service in this process."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus.vault.v1 import identity_pb2, keys_pb2, tenants_pb2
from nexus_mesh.identity import tls
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.identity.spiffe import SpiffeId, role_server_name
from nexus_mesh.identity.tls import Identity, Material
from nexus_mesh.process import enrollment
from nexus_mesh.process.service import Mesh
from nexus_mesh.rpc.client import Method, Peer
from nexus_mesh.rpc.server import start_server
from nexus_vault.app import open_vault
from nexus_vault.config import VaultSettings
from nexus_vault.enroll import enroll

IDENTITY = "nexus.vault.v1.IdentityService"
KEYS = "nexus.vault.v1.KeyService"
TENANTS = "nexus.vault.v1.TenantService"
RENEW = Method(IDENTITY, "Renew", identity_pb2.RenewRequest, identity_pb2.RenewResponse)
WATCH_TRUST = Method(IDENTITY, "WatchTrust", identity_pb2.WatchTrustRequest, identity_pb2.WatchTrustResponse)
CREATE_TOKEN = Method(
    IDENTITY, "CreateJoinToken", identity_pb2.CreateJoinTokenRequest, identity_pb2.CreateJoinTokenResponse
)
ALLOW = Method(
    IDENTITY, "AllowIdentity", identity_pb2.AllowIdentityRequest, identity_pb2.AllowIdentityResponse
)
LIST_IDENTITIES = Method(
    IDENTITY, "ListIdentities", identity_pb2.ListIdentitiesRequest, identity_pb2.ListIdentitiesResponse
)
DENY = Method(IDENTITY, "DenyIdentity", identity_pb2.DenyIdentityRequest, identity_pb2.DenyIdentityResponse)
CREATE_KEY = Method(KEYS, "CreateKey", keys_pb2.CreateKeyRequest, keys_pb2.CreateKeyResponse)
LIST_KEYS = Method(KEYS, "ListKeys", keys_pb2.ListKeysRequest, keys_pb2.ListKeysResponse)
UPDATE_KEY = Method(KEYS, "UpdateKey", keys_pb2.UpdateKeyRequest, keys_pb2.UpdateKeyResponse)
REVOKE_KEY = Method(KEYS, "RevokeKey", keys_pb2.RevokeKeyRequest, keys_pb2.RevokeKeyResponse)
AUTHENTICATE = Method(KEYS, "Authenticate", keys_pb2.AuthenticateRequest, keys_pb2.AuthenticateResponse)
WATCH_KEYS = Method(KEYS, "WatchKeys", keys_pb2.WatchKeysRequest, keys_pb2.WatchKeysResponse)
CREATE_TENANT = Method(
    TENANTS, "CreateTenant", tenants_pb2.CreateTenantRequest, tenants_pb2.CreateTenantResponse
)
LIST_TENANTS = Method(TENANTS, "ListTenants", tenants_pb2.ListTenantsRequest, tenants_pb2.ListTenantsResponse)
UPDATE_TENANT = Method(
    TENANTS, "UpdateTenant", tenants_pb2.UpdateTenantRequest, tenants_pb2.UpdateTenantResponse
)
DELETE_TENANT = Method(
    TENANTS, "DeleteTenant", tenants_pb2.DeleteTenantRequest, tenants_pb2.DeleteTenantResponse
)
WATCH_TENANTS = Method(
    TENANTS, "WatchTenants", tenants_pb2.WatchTenantsRequest, tenants_pb2.WatchTenantsResponse
)


class TurnableClock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = datetime.datetime.now(datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now

    def turn(self, **by: float) -> None:
        self.now += datetime.timedelta(**by)


def vault_settings(home: Path, **changes: Any) -> VaultSettings:
    """Settings of a vault on free ports."""
    values: dict[str, Any] = {"home": home, "node": "box", "port": 0, "join_port": 0}
    return VaultSettings(**{**values, **changes})


def spiffe(role: str, name: str = "main", *, node: str = "box", zone: str = "default") -> SpiffeId:
    return SpiffeId("nexus.internal", zone, node, role, name)


@dataclass(frozen=True)
class ServedVault:
    """A running vault and the operator it let in."""

    address: str
    operator: Identity
    mesh: Mesh[VaultSettings]

    @asynccontextmanager
    async def peer(self, identity: Identity | None = None) -> AsyncIterator[Peer]:
        """The vault as `identity` (default: the operator) reaches it."""
        peer = Peer(self.address, role_server_name("vault", "nexus.internal"), identity or self.operator)
        try:
            yield peer
        finally:
            await peer.close()

    async def token(self, role: str, name: str = "main", **fields: Any) -> JoinToken:
        """A join token, made by the operator."""
        request = identity_pb2.CreateJoinTokenRequest(role=role, node="box", name=name, **fields)
        async with self.peer() as peer:
            return JoinToken.decode((await peer.unary(CREATE_TOKEN, request, timeout=5)).token)

    async def join(self, role: str, name: str = "main", **fields: Any) -> Identity:
        """A new member's identity, got as members get theirs."""
        token, key = await self.token(role, name, **fields), tls.new_key()
        joined = (await enrollment.join(token, tls.certificate_request(key))).certificate
        return Identity(Material(key, joined.chain_pem, joined.bundle_pem))


@asynccontextmanager
async def served_vault(home: Path, **changes: Any) -> AsyncIterator[ServedVault]:
    """The whole service on loopback, with its real servers, until the block ends."""
    settings = vault_settings(home, operator_dir=home / "operator", **changes)
    identity = await enrollment.enroll(
        home / "identities" / "vault-main", lambda request: enroll(settings, spiffe("vault"), request)
    )
    async with Mesh(settings, identity) as mesh, open_vault(mesh) as servicers:
        server = await start_server(
            servicers, host="127.0.0.1", port=0, identity=identity, denied=mesh.denied
        )
        operator = tls.load(home / "operator")
        assert operator is not None
        try:
            yield ServedVault(f"127.0.0.1:{server.port}", Identity(operator), mesh)
        finally:
            await server.drain(settle=0, grace=0)
