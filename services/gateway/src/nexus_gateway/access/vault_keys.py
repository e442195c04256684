"""The vault's keys as the gateway uses them: one question, one watch."""

from __future__ import annotations

import prometheus_client
from nexus.vault.v1 import keys_pb2, tenants_pb2
from nexus_mesh.rpc import Method, Peer

from nexus_gateway.access.accounts import Account, Key, Tenant
from nexus_gateway.access.principals import Authenticator

__all__ = ["VaultKeys"]

SERVICE = "nexus.vault.v1.KeyService"
AUTHENTICATE = Method(SERVICE, "Authenticate", keys_pb2.AuthenticateRequest, keys_pb2.AuthenticateResponse)
WATCH = Method(SERVICE, "WatchKeys", keys_pb2.WatchKeysRequest, keys_pb2.WatchKeysResponse)
ASK_TIMEOUT = 2.0

KEY_WATCH = prometheus_client.Gauge(
    "nexus_gateway_key_watch_open", "Whether revocations and changes of keys arrive from the vault."
)


class VaultKeys:
    """KeyService of one vault."""

    def __init__(self, vault: Peer) -> None:
        self._vault = vault

    async def verify(self, secret: str) -> Account:
        """Whose key it is. MeshError CALLER_KEY when the vault says no."""
        request = keys_pb2.AuthenticateRequest(secret=secret)
        answer = await self._vault.unary(AUTHENTICATE, request, timeout=ASK_TIMEOUT)
        return Account.of(_key(answer.key), _tenant(answer.tenant))

    async def follow(self, authenticator: Authenticator) -> None:
        """Passes every revocation and change on, for ever. While the vault is away, what is known stays known."""
        watch = self._vault.follow(WATCH, keys_pb2.WatchKeysRequest, on_state=KEY_WATCH.set)
        async for told in watch:
            match told.WhichOneof("event"):
                case "revoked_id":
                    authenticator.revoke(told.revoked_id)
                case "key":
                    authenticator.change(_key(told.key))
                case "tenant":
                    authenticator.change(_tenant(told.tenant))
                case _:
                    pass


def _key(key: keys_pb2.Key) -> Key:
    expires_at = key.expire_time.ToNanoseconds() / 1e9 if key.HasField("expire_time") else None
    return Key(key.id, key.name, key.zone, key.manage, expires_at, key.revision)


def _tenant(tenant: tenants_pb2.Tenant) -> Tenant:
    if not tenant.id:  # a vault of before there were tenants
        return Tenant()
    return Tenant(tenant.id, tenant.name, tenant.zone, tenant.weight, tenant.revision)
