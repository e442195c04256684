"""Between the vault's own types and the messages of its contract."""

from __future__ import annotations

import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.vault.v1 import identity_pb2, keys_pb2, tenants_pb2
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.spiffe import SpiffeId

from nexus_vault.ca.issue import Issued
from nexus_vault.journal import Synced
from nexus_vault.key_news import KeyNews, Revoked
from nexus_vault.keys import Key
from nexus_vault.tenants import Tenant
from nexus_vault.trust import TrustState

__all__ = [
    "certificate",
    "duration",
    "key",
    "key_event",
    "moment",
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
        raise _invalid(param, "is not a valid time") from None


def duration(message: Duration, param: str) -> datetime.timedelta:
    """Raises MeshError INVALID_REQUEST for one out of range."""
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError):
        raise _invalid(param, "is not a valid duration") from None


def spiffe_id(text: str) -> SpiffeId:
    """Raises MeshError INVALID_REQUEST."""
    try:
        return SpiffeId.parse(text)
    except ValueError as error:
        raise _invalid("spiffe_id", f"does not hold: {error}") from None


def spiffe_of(request: identity_pb2.CreateJoinTokenRequest, trust_domain: str) -> SpiffeId:
    """The identity a join token is asked for. Raises MeshError INVALID_REQUEST."""
    try:
        return SpiffeId(trust_domain, request.zone or "default", request.node, request.role, request.name)
    except ValueError as error:
        raise _invalid("role, node, name or zone", f"does not hold: {error}") from None


def _invalid(param: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{param} {why}.", metadata={"param": param})
