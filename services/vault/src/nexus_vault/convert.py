"""Between the vault's own types and the messages of its contract."""

from __future__ import annotations

import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.vault.v1 import identity_pb2, keys_pb2, tenants_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import UNLIMITED, Claims, JoinToken, SpiffeId

from nexus_vault.ca.issue import Issued
from nexus_vault.identity_roll import KnownIdentity
from nexus_vault.join_tokens import OpenToken
from nexus_vault.journal import Synced
from nexus_vault.key_news import KeyNews, Revoked
from nexus_vault.keys import Key
from nexus_vault.tenants import Tenant
from nexus_vault.trust import TrustState

__all__ = [
    "certificate",
    "claims",
    "claims_of",
    "duration",
    "identity",
    "invalid",
    "join_token",
    "key",
    "key_event",
    "moment",
    "open_token",
    "spiffe_id",
    "spiffe_of",
    "tenant",
    "timestamp",
    "trust",
]


def certificate(issued: Issued) -> identity_pb2.IssuedCertificate:
    return identity_pb2.IssuedCertificate(
        chain_pem=issued.chain_pem,
        bundle_pem=issued.bundle_pem,
        spiffe_id=str(issued.spiffe),
        expire_time=timestamp(issued.expires_at),
    )


def trust(state: TrustState) -> identity_pb2.WatchTrustResponse:
    return identity_pb2.WatchTrustResponse(
        bundle_pem=state.bundle_pem, denied_spiffe_ids=sorted(state.denied), revision=state.revision
    )


def identity(known: KnownIdentity) -> identity_pb2.Identity:
    denial = known.denial and identity_pb2.Denial(
        create_time=timestamp(known.denial.time), reason=known.denial.reason, author=known.denial.author
    )
    return identity_pb2.Identity(
        spiffe_id=known.spiffe_id,
        create_time=timestamp(known.create_time),
        issue_time=timestamp(known.issue_time),
        expire_time=timestamp(known.expire_time),
        serial=known.serial,
        renewals=known.renewals,
        claims=claims(known.claims),
        denial=denial,
        alarm_time=timestamp(known.alarm_time),
    )


def open_token(token: OpenToken) -> identity_pb2.JoinToken:
    return identity_pb2.JoinToken(
        spiffe_id=token.spiffe_id,
        create_time=timestamp(token.create_time),
        expire_time=timestamp(token.expire_time),
    )


def claims(given: Claims) -> identity_pb2.Claims | None:
    """None when it may claim anything."""
    if given == UNLIMITED:
        return None
    return identity_pb2.Claims(
        models=given.models,
        priority_floor=given.priority_floor,
        tenant=given.tenant,
        tenant_id=given.tenant_id,
    )


def claims_of(given: identity_pb2.Claims) -> Claims:
    """Without the tenant's id, which is not the caller's to tell. Raises MeshError INVALID_REQUEST."""
    try:
        return Claims(tuple(given.models), given.priority_floor, given.tenant)
    except ValueError as error:
        raise invalid("claims", f"do not hold: {error}") from None


def join_token(token: JoinToken) -> str:
    """Raises MeshError INVALID_REQUEST when the vault's address is too long for one."""
    try:
        return token.encode()
    except ValueError as error:
        raise invalid(
            "join_address", f"does not hold: {error}; give the vault a shorter join_address"
        ) from None


def key(given: Key) -> keys_pb2.Key:
    return keys_pb2.Key(
        id=given.id,
        name=given.name,
        create_time=timestamp(given.create_time),
        expire_time=timestamp(given.expire_time),
        revoke_time=timestamp(given.revoke_time),
        tenant=given.tenant,
        zone=given.zone,
        manage=given.manage,
        revision=given.revision,
    )


def tenant(given: Tenant) -> tenants_pb2.Tenant:
    return tenants_pb2.Tenant(
        id=given.id,
        name=given.name,
        zone=given.zone,
        weight=given.weight,
        create_time=timestamp(given.create_time),
        revision=given.revision,
    )


def key_event(event: KeyNews | Synced) -> keys_pb2.WatchKeysResponse:
    match event:
        case Synced():
            return keys_pb2.WatchKeysResponse(synced=keys_pb2.KeysSynced())
        case Revoked():
            return keys_pb2.WatchKeysResponse(revoked_id=event.key_id)
        case Key():
            return keys_pb2.WatchKeysResponse(key=key(event))
        case Tenant():
            return keys_pb2.WatchKeysResponse(tenant=tenant(event))


def timestamp(value: datetime.datetime | None) -> Timestamp | None:
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value)
    return message


def moment(message: Timestamp, param: str) -> datetime.datetime:
    """Raises MeshError INVALID_REQUEST for a time outside the years 1 to 9999."""
    try:
        return message.ToDatetime(datetime.UTC)
    except (ValueError, OverflowError):
        raise invalid(param, "is not a valid time") from None


def duration(message: Duration, param: str) -> datetime.timedelta:
    """Raises MeshError INVALID_REQUEST for one out of range."""
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError):
        raise invalid(param, "is not a valid duration") from None


def spiffe_id(text: str) -> SpiffeId:
    """Raises MeshError INVALID_REQUEST."""
    try:
        return SpiffeId.parse(text)
    except ValueError as error:
        raise invalid("spiffe_id", f"does not hold: {error}") from None


def spiffe_of(request: identity_pb2.CreateJoinTokenRequest, trust_domain: str) -> SpiffeId:
    """The identity a join token is asked for. Raises MeshError INVALID_REQUEST."""
    try:
        return SpiffeId(trust_domain, request.zone or "default", request.node, request.role, request.name)
    except ValueError as error:
        raise invalid("role, node, name or zone", f"does not hold: {error}") from None


def invalid(param: str, why: str) -> MeshError:
    """INVALID_REQUEST about a parameter; `why` goes on where its name ends, without a full stop."""
    return MeshError(Reason.INVALID_REQUEST, f"{param} {why}.", metadata={"param": param})
