"""The vault's four services: check, call, convert."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping

import grpc
from nexus.vault.v1 import (
    identity_pb2,
    identity_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    tenants_pb2,
    tenants_pb2_grpc,
)
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import Claims, JoinToken, SpiffeId, caller

from nexus_vault import convert, join_tokens
from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.ca.request import fingerprint, requested_key
from nexus_vault.identity_roll import IdentityRoll
from nexus_vault.join_tokens import JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.tenant_roll import TenantRoll
from nexus_vault.tenants import DEFAULT_TENANT
from nexus_vault.trust import Trust

__all__ = ["IdentityServicer", "JoinServicer", "KeyServicer", "TenantServicer"]

Context = grpc.aio.ServicerContext


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """nexus.vault.v1.IdentityService. `join_address` goes into the join tokens it makes."""

    def __init__(
        self,
        authority: IssuingAuthority,
        trust: Trust,
        tokens: JoinTokens,
        roll: IdentityRoll,
        tenants: TenantRoll,
        join_address: str,
    ) -> None:
        self._authority = authority
        self._trust = trust
        self._tokens = tokens
        self._roll = roll
        self._tenants = tenants
        self._join_address = join_address

    async def Renew(self, request: identity_pb2.RenewRequest, context: Context) -> identity_pb2.RenewResponse:
        who = caller()
        self._trust.check(who.spiffe)
        await self._roll.check_renewal(who)
        issued = self._authority.issue(who.spiffe, request.certificate_request, claims=who.claims)
        await self._roll.renewed(issued)
        return identity_pb2.RenewResponse(certificate=convert.certificate(issued))

    async def WatchTrust(
        self, request: identity_pb2.WatchTrustRequest, context: Context
    ) -> AsyncIterator[identity_pb2.WatchTrustResponse]:
        await self._roll.saw(caller())
        async for state in self._trust.current.follow():
            yield convert.trust(state)

    async def CreateJoinToken(
        self, request: identity_pb2.CreateJoinTokenRequest, context: Context
    ) -> identity_pb2.CreateJoinTokenResponse:
        spiffe = convert.spiffe_of(request, self._authority.trust_domain)
        claims = self._of_tenant(spiffe, convert.claims_of(request.claims))
        self._trust.check(spiffe)
        ttl = convert.duration(request.ttl, "ttl") if request.HasField("ttl") else join_tokens.DEFAULT_TTL
        secret, ends = await self._tokens.create(spiffe, ttl, claims)
        domain, root = self._authority.trust_domain, self._authority.root_sha256
        text = convert.join_token(JoinToken(self._join_address, domain, root, secret))
        return identity_pb2.CreateJoinTokenResponse(token=text, expire_time=convert.timestamp(ends))

    async def ListJoinTokens(
        self, request: identity_pb2.ListJoinTokensRequest, context: Context
    ) -> identity_pb2.ListJoinTokensResponse:
        tokens, more = await self._tokens.page(request.page_size, request.page_token)
        return identity_pb2.ListJoinTokensResponse(
            join_tokens=map(convert.open_token, tokens), next_page_token=more
        )

    def _of_tenant(self, spiffe: SpiffeId, claims: Claims) -> Claims:
        """With the id of the tenant they name: clients need one, and nobody else has one. Raises MeshError."""
        if spiffe.role != "client":
            if claims.tenant:
                raise convert.invalid("claims", f"do not hold: role {spiffe.role} belongs to no tenant")
            return claims
        if not claims.tenant:
            raise convert.invalid("claims", "do not hold: a client needs the tenant its requests belong to")
        if claims.priority_floor:
            raise convert.invalid("claims", "do not hold: a client offers nothing, so it has no priority")
        return dataclasses.replace(claims, tenant_id=self._tenants.named(claims.tenant).id)

    async def DenyIdentity(
        self, request: identity_pb2.DenyIdentityRequest, context: Context
    ) -> identity_pb2.DenyIdentityResponse:
        spiffe, author = convert.spiffe_id(request.spiffe_id), caller().spiffe
        if spiffe == author:
            raise MeshError(
                Reason.INVALID_REQUEST, "An operator cannot withdraw the identity it is calling with."
            )
        await self._trust.deny(spiffe, request.reason, str(author))
        await self._roll.denied(spiffe)
        return identity_pb2.DenyIdentityResponse()

    async def AllowIdentity(
        self, request: identity_pb2.AllowIdentityRequest, context: Context
    ) -> identity_pb2.AllowIdentityResponse:
        spiffe = convert.spiffe_id(request.spiffe_id)
        await self._roll.allowed(spiffe)
        await self._trust.allow(spiffe, str(caller().spiffe))
        return identity_pb2.AllowIdentityResponse()

    async def ListIdentities(
        self, request: identity_pb2.ListIdentitiesRequest, context: Context
    ) -> identity_pb2.ListIdentitiesResponse:
        known, more = await self._roll.page(request.page_size, request.page_token)
        return identity_pb2.ListIdentitiesResponse(
            identities=map(convert.identity, known), next_page_token=more
        )


class JoinServicer(identity_pb2_grpc.JoinServiceServicer):
    """nexus.vault.v1.JoinService. `control_plane` is told to who joins: role -> host:port."""

    def __init__(
        self,
        authority: IssuingAuthority,
        trust: Trust,
        tokens: JoinTokens,
        roll: IdentityRoll,
        control_plane: Mapping[str, str],
    ) -> None:
        self._authority = authority
        self._trust = trust
        self._tokens = tokens
        self._roll = roll
        self._control_plane = dict(control_plane)

    async def Join(self, request: identity_pb2.JoinRequest, context: Context) -> identity_pb2.JoinResponse:
        key = requested_key(request.certificate_request)  # one that cannot be met must not use the token up
        spiffe, claims = await self._tokens.redeem(request.secret, fingerprint(key))
        self._trust.check(spiffe)
        issued = self._authority.issue(spiffe, request.certificate_request, claims=claims)
        await self._roll.joined(issued, claims)
        return identity_pb2.JoinResponse(
            certificate=convert.certificate(issued), control_plane=self._control_plane
        )


class KeyServicer(keys_pb2_grpc.KeyServiceServicer):
    """nexus.vault.v1.KeyService."""

    def __init__(self, keys: KeyRing, tenants: TenantRoll) -> None:
        self._keys = keys
        self._tenants = tenants

    async def CreateKey(
        self, request: keys_pb2.CreateKeyRequest, context: Context
    ) -> keys_pb2.CreateKeyResponse:
        ends = convert.moment(request.expire_time, "expire_time") if request.HasField("expire_time") else None
        key, text = await self._keys.create(
            request.name,
            ends,
            tenant=request.tenant or DEFAULT_TENANT,
            zone=request.zone,
            manage=request.manage,
        )
        return keys_pb2.CreateKeyResponse(key=convert.key(key), secret=str(text))

    async def ListKeys(
        self, request: keys_pb2.ListKeysRequest, context: Context
    ) -> keys_pb2.ListKeysResponse:
        keys, more = await self._keys.page(request.page_size, request.page_token)
        return keys_pb2.ListKeysResponse(keys=map(convert.key, keys), next_page_token=more)

    async def UpdateKey(
        self, request: keys_pb2.UpdateKeyRequest, context: Context
    ) -> keys_pb2.UpdateKeyResponse:
        key = await self._keys.update(
            request.key,
            zone=request.zone if request.HasField("zone") else None,
            manage=request.manage if request.HasField("manage") else None,
        )
        return keys_pb2.UpdateKeyResponse(key=convert.key(key))

    async def RevokeKey(
        self, request: keys_pb2.RevokeKeyRequest, context: Context
    ) -> keys_pb2.RevokeKeyResponse:
        return keys_pb2.RevokeKeyResponse(key=convert.key(await self._keys.revoke(request.key)))

    async def Authenticate(
        self, request: keys_pb2.AuthenticateRequest, context: Context
    ) -> keys_pb2.AuthenticateResponse:
        key = self._keys.authenticate(request.secret)
        return keys_pb2.AuthenticateResponse(
            key=convert.key(key), tenant=convert.tenant(self._tenants.of(key))
        )

    async def WatchKeys(
        self, request: keys_pb2.WatchKeysRequest, context: Context
    ) -> AsyncIterator[keys_pb2.WatchKeysResponse]:
        async for event in self._keys.news.follow():
            yield convert.key_event(event)


class TenantServicer(tenants_pb2_grpc.TenantServiceServicer):
    """nexus.vault.v1.TenantService."""

    def __init__(self, tenants: TenantRoll) -> None:
        self._tenants = tenants

    async def CreateTenant(
        self, request: tenants_pb2.CreateTenantRequest, context: Context
    ) -> tenants_pb2.CreateTenantResponse:
        tenant = await self._tenants.create(request.name, request.zone, request.weight or 1)
        return tenants_pb2.CreateTenantResponse(tenant=convert.tenant(tenant))

    async def ListTenants(
        self, request: tenants_pb2.ListTenantsRequest, context: Context
    ) -> tenants_pb2.ListTenantsResponse:
        tenants, more = await self._tenants.page(request.page_size, request.page_token)
        return tenants_pb2.ListTenantsResponse(tenants=map(convert.tenant, tenants), next_page_token=more)

    async def UpdateTenant(
        self, request: tenants_pb2.UpdateTenantRequest, context: Context
    ) -> tenants_pb2.UpdateTenantResponse:
        tenant = await self._tenants.update(
            request.tenant,
            zone=request.zone if request.HasField("zone") else None,
            weight=request.weight if request.HasField("weight") else None,
        )
        return tenants_pb2.UpdateTenantResponse(tenant=convert.tenant(tenant))

    async def DeleteTenant(
        self, request: tenants_pb2.DeleteTenantRequest, context: Context
    ) -> tenants_pb2.DeleteTenantResponse:
        await self._tenants.delete(request.tenant)
        return tenants_pb2.DeleteTenantResponse()

    async def WatchTenants(
        self, request: tenants_pb2.WatchTenantsRequest, context: Context
    ) -> AsyncIterator[tenants_pb2.WatchTenantsResponse]:
        async for tenants in self._tenants.current.follow():
            yield tenants_pb2.WatchTenantsResponse(tenants=map(convert.tenant, tenants))
