"""The vault's three services: check, call, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import grpc
from nexus.vault.v1 import identity_pb2, identity_pb2_grpc, keys_pb2, keys_pb2_grpc
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.identity import caller
from nexus_mesh.join_token import JoinToken

from nexus_vault import convert, join_tokens
from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.ca.request import requested_key
from nexus_vault.join_tokens import JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.trust import Trust

__all__ = ["IdentityServicer", "JoinServicer", "KeyServicer"]

Context = grpc.aio.ServicerContext


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """nexus.vault.v1.IdentityService. `join_address` and `server_name` go into the join tokens it makes."""

    def __init__(
        self,
        authority: IssuingAuthority,
        trust: Trust,
        tokens: JoinTokens,
        join_address: str,
        server_name: str,
    ) -> None:
        self._authority = authority
        self._trust = trust
        self._tokens = tokens
        self._join_address = join_address
        self._server_name = server_name

    async def Renew(self, request: identity_pb2.RenewRequest, context: Context) -> identity_pb2.RenewResponse:
        spiffe = caller().spiffe
        self._trust.check(spiffe)
        issued = self._authority.issue(spiffe, request.certificate_request)
        return identity_pb2.RenewResponse(certificate=convert.certificate(issued))

    async def WatchTrust(
        self, request: identity_pb2.WatchTrustRequest, context: Context
    ) -> AsyncIterator[identity_pb2.WatchTrustResponse]:
        async for state in self._trust.current.follow():
            yield convert.trust(state)

    async def CreateJoinToken(
        self, request: identity_pb2.CreateJoinTokenRequest, context: Context
    ) -> identity_pb2.CreateJoinTokenResponse:
        spiffe = convert.spiffe_of(request, self._authority.trust_domain)
        self._trust.check(spiffe)
        ttl = convert.duration(request.ttl, "ttl") if request.HasField("ttl") else join_tokens.DEFAULT_TTL
        secret, ends = await self._tokens.create(spiffe, ttl)
        token = JoinToken(self._join_address, self._server_name, self._authority.root_der, secret)
        return identity_pb2.CreateJoinTokenResponse(token=token.encode(), expire_time=convert.timestamp(ends))

    async def DenyIdentity(
        self, request: identity_pb2.DenyIdentityRequest, context: Context
    ) -> identity_pb2.DenyIdentityResponse:
        spiffe = convert.spiffe_id(request.spiffe_id)
        if spiffe == caller().spiffe:
            raise MeshError(
                Reason.INVALID_REQUEST, "An operator cannot withdraw the identity it is calling with."
            )
        await self._trust.deny(spiffe)
        return identity_pb2.DenyIdentityResponse()


class JoinServicer(identity_pb2_grpc.JoinServiceServicer):
    """nexus.vault.v1.JoinService. `control_plane` is told to who joins: role -> host:port."""

    def __init__(
        self, authority: IssuingAuthority, trust: Trust, tokens: JoinTokens, control_plane: Mapping[str, str]
    ) -> None:
        self._authority = authority
        self._trust = trust
        self._tokens = tokens
        self._control_plane = dict(control_plane)

    async def Join(self, request: identity_pb2.JoinRequest, context: Context) -> identity_pb2.JoinResponse:
        requested_key(request.certificate_request)  # a request that cannot be met must not use the token up
        spiffe = await self._tokens.redeem(request.secret)
        self._trust.check(spiffe)
        issued = self._authority.issue(spiffe, request.certificate_request)
        return identity_pb2.JoinResponse(
            certificate=convert.certificate(issued), control_plane=self._control_plane
        )


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """nexus.vault.v1.KeyService."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def CreateKey(
        self, request: keys_pb2.CreateKeyRequest, context: Context
    ) -> keys_pb2.CreateKeyResponse:
        ends = convert.moment(request.expire_time, "expire_time") if request.HasField("expire_time") else None
        key, text = await self._keys.create(request.name, ends)
        return keys_pb2.CreateKeyResponse(key=convert.key(key), secret=str(text))

    async def ListKeys(
        self, request: keys_pb2.ListKeysRequest, context: Context
    ) -> keys_pb2.ListKeysResponse:
        keys, more = await self._keys.page(request.page_size, request.page_token)
        return keys_pb2.ListKeysResponse(keys=map(convert.key, keys), next_page_token=more)

    async def RevokeKey(
        self, request: keys_pb2.RevokeKeyRequest, context: Context
    ) -> keys_pb2.RevokeKeyResponse:
        return keys_pb2.RevokeKeyResponse(key=convert.key(await self._keys.revoke(request.key)))

    async def Authenticate(
        self, request: keys_pb2.AuthenticateRequest, context: Context
    ) -> keys_pb2.AuthenticateResponse:
        return keys_pb2.AuthenticateResponse(key=convert.key(self._keys.authenticate(request.secret)))

    async def WatchKeys(
        self, request: keys_pb2.WatchKeysRequest, context: Context
    ) -> AsyncIterator[keys_pb2.WatchKeysResponse]:
        async for event in self._keys.revoked.follow():
            yield convert.key_event(event)
