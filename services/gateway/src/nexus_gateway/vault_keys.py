"""The vault's keys as the gateway uses them: one question, one watch."""

from __future__ import annotations

from nexus.vault.v1 import keys_pb2
from nexus_mesh.client import Method, Peer

from nexus_gateway.metering import KEY_WATCH
from nexus_gateway.principals import Authenticator, Principal

__all__ = ["VaultKeys"]

SERVICE = "nexus.vault.v1.KeyService"
AUTHENTICATE = Method(SERVICE, "Authenticate", keys_pb2.AuthenticateRequest, keys_pb2.AuthenticateResponse)
WATCH = Method(SERVICE, "WatchKeys", keys_pb2.WatchKeysRequest, keys_pb2.WatchKeysResponse)
ASK_TIMEOUT = 2.0


class VaultKeys:
    """KeyService of one vault."""

    def __init__(self, vault: Peer) -> None:
        self._vault = vault

    async def verify(self, secret: str) -> Principal:
        """Whose key it is. MeshError CALLER_KEY when the vault says no."""
        request = keys_pb2.AuthenticateRequest(secret=secret)
        key = (await self._vault.unary(AUTHENTICATE, request, timeout=ASK_TIMEOUT)).key
        expires_at = key.expire_time.ToNanoseconds() / 1e9 if key.HasField("expire_time") else None
        return Principal(key.id, key.name, expires_at)

    async def follow(self, authenticator: Authenticator) -> None:
        """Passes every revocation on, for ever. While the vault is away, what is known stays known."""
        watch = self._vault.follow(WATCH, keys_pb2.WatchKeysRequest, on_state=KEY_WATCH.set)
        async for event in watch:
            if event.WhichOneof("event") == "revoked_id":
                authenticator.revoke(event.revoked_id)
