"""The vault over real mutual TLS, as operators, gateways and newcomers use it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.vault.v1 import identity_pb2, keys_pb2, tenants_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity import tls
from nexus_mesh.identity.tls import Identity, Material, certificate_request, new_key
from nexus_mesh.process import enrollment
from nexus_mesh.rpc.server import serve_public
from support.ca import MeshCA
from support.vault import (
    AUTHENTICATE,
    CREATE_KEY,
    CREATE_TENANT,
    CREATE_TOKEN,
    DELETE_TENANT,
    DENY,
    LIST_KEYS,
    LIST_TENANTS,
    RENEW,
    REVOKE_KEY,
    UPDATE_KEY,
    UPDATE_TENANT,
    WATCH_KEYS,
    WATCH_TRUST,
    ServedVault,
    served_vault,
    spiffe,
)
from support.waiting import eventually


@pytest_asyncio.fixture
async def vault(tmp_path: Path) -> AsyncIterator[ServedVault]:
    async with served_vault(tmp_path, advertise_registry="10.0.0.1:7410") as served:
        yield served


async def _refusal(call: Awaitable[Any]) -> MeshError:
    with pytest.raises(MeshError) as refusal:
        await call
    return refusal.value


async def test_a_newcomer_joins_and_is_let_in(vault: ServedVault) -> None:
    token = await vault.token("gateway", zone="restricted")
    key = new_key()
    joined = await enrollment.join(token, certificate_request(key))
    identity = Identity(Material(key, joined.certificate.chain_pem, joined.certificate.bundle_pem))
    assert joined.certificate.spiffe_id == str(spiffe("gateway", zone="restricted")) == str(identity.spiffe)
    assert joined.certificate.expire_time.ToDatetime(datetime.UTC) == identity.expires_at
    assert dict(joined.control_plane) == {
        "registry": "10.0.0.1:7410",
        "router": "127.0.0.1:7420",
        "vault": "127.0.0.1:7430",
    }
    async with (
        vault.peer(identity) as peer,
        peer.stream(WATCH_TRUST, identity_pb2.WatchTrustRequest(), timeout=5) as call,
    ):
        async for told in call:
            assert told.bundle_pem == identity.bundle_pem
            break


async def test_a_token_joins_once(vault: ServedVault) -> None:
    token = await vault.token("gateway")
    joins = [enrollment.join(token, certificate_request(new_key())) for _ in range(20)]
    outcomes = await asyncio.gather(*joins, return_exceptions=True)
    reasons = [one.reason for one in outcomes if isinstance(one, MeshError)]
    # The one who got in may already find the identity withdrawn: the token was presented twice.
    assert reasons.count(Reason.JOIN_TOKEN) == 19
    assert set(reasons) <= {Reason.JOIN_TOKEN, Reason.MESH_IDENTITY}


async def test_a_bad_request_does_not_use_the_token_up(vault: ServedVault) -> None:
    token = await vault.token("gateway")
    assert (await _refusal(enrollment.join(token, b"noise"))).reason is Reason.INVALID_REQUEST
    await enrollment.join(token, certificate_request(new_key()))


async def test_a_token_pins_its_ca(vault: ServedVault, tmp_path: Path) -> None:
    """Who answers at the join address with another CA's certificate never sees the secret."""
    token = await vault.token("gateway")
    async with served_vault(tmp_path / "impostor") as impostor:
        elsewhere = (await impostor.token("gateway")).address
        astray = dataclasses.replace(token, address=elsewhere)
        refusal = await _refusal(enrollment.join(astray, certificate_request(new_key())))
    assert refusal.reason is Reason.JOIN_TOKEN
    await enrollment.join(token, certificate_request(new_key()))


@pytest.mark.security
async def test_showing_the_root_is_not_enough_to_be_the_vault(vault: ServedVault) -> None:
    """A13: an impostor that sends the pinned root along, which is no secret, has no certificate under it."""
    token, own = await vault.token("gateway"), MeshCA()
    material = own.material(own.spiffe("vault"))
    shown = tls.Identity(dataclasses.replace(material, bundle_pem=vault.operator.bundle_pem))
    async with serve_public([], "127.0.0.1", 0, shown) as port:
        astray = dataclasses.replace(token, address=f"127.0.0.1:{port}")
        refusal = await _refusal(enrollment.join(astray, certificate_request(new_key())))
    assert (refusal.reason, refusal.metadata["transport"]) == (Reason.BACKEND_DOWN, "1")
    await enrollment.join(token, certificate_request(new_key()))


async def test_the_join_port_serves_nothing_else(vault: ServedVault) -> None:
    token = await vault.token("gateway")
    options = (("grpc.ssl_target_name_override", token.server_name),)
    credentials = grpc.ssl_channel_credentials(vault.operator.bundle_pem)
    async with grpc.aio.secure_channel(token.address, credentials, options) as channel:
        for method in (CREATE_KEY, CREATE_TOKEN, RENEW, AUTHENTICATE):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await channel.unary_unary(method.path)(b"", timeout=5)
            assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "king"},
        {"node": "Box"},
        {"node": "a.b"},
        {"name": ""},
        {"name": "a" * 64},
        {"zone": "../restricted"},
        {"ttl": Duration(seconds=0)},
        {"ttl": Duration(seconds=-5)},
        {"ttl": Duration(seconds=86401)},
        {"ttl": Duration(seconds=2**62)},
    ],
    ids=str,
)
async def test_unfit_tokens_are_refused(vault: ServedVault, fields: dict[str, Any]) -> None:
    request = identity_pb2.CreateJoinTokenRequest(**{"role": "adapter", "node": "box", "name": "a", **fields})
    async with vault.peer() as peer:
        assert (await _refusal(peer.unary(CREATE_TOKEN, request, timeout=5))).reason is Reason.INVALID_REQUEST


async def test_renewal_keeps_the_name_and_takes_the_new_key(vault: ServedVault) -> None:
    identity, key = await vault.join("router"), new_key()
    async with vault.peer(identity) as peer:
        request = identity_pb2.RenewRequest(certificate_request=certificate_request(key))
        renewed = (await peer.unary(RENEW, request, timeout=5)).certificate
    again = Identity(Material(key, renewed.chain_pem, renewed.bundle_pem))
    assert again.spiffe == identity.spiffe
    async with vault.peer(again) as peer:
        assert (
            await _refusal(peer.unary(RENEW, identity_pb2.RenewRequest(), timeout=5))
        ).reason is Reason.INVALID_REQUEST


async def test_the_denied_cannot_renew_nor_join_again(vault: ServedVault) -> None:
    unused = await vault.token("router")
    identity = await vault.join("router")
    async with vault.peer() as operator, vault.peer(identity) as peer:
        denial = identity_pb2.DenyIdentityRequest(spiffe_id=str(identity.spiffe))
        await operator.unary(DENY, denial, timeout=5)
        request = identity_pb2.RenewRequest(certificate_request=certificate_request(new_key()))
        assert (await _refusal(peer.unary(RENEW, request, timeout=5))).reason is Reason.MESH_IDENTITY
    assert (
        await _refusal(enrollment.join(unused, certificate_request(new_key())))
    ).reason is Reason.MESH_IDENTITY
    assert (await _refusal(vault.token("router"))).reason is Reason.MESH_IDENTITY


@pytest.mark.parametrize("name", ["", "nonsense", "spiffe://nexus.internal/zone/a/node/b/king/c"])
async def test_only_identities_can_be_denied(vault: ServedVault, name: str) -> None:
    async with vault.peer() as peer:
        call = peer.unary(DENY, identity_pb2.DenyIdentityRequest(spiffe_id=name), timeout=5)
        assert (await _refusal(call)).reason is Reason.INVALID_REQUEST


async def test_an_operator_cannot_lock_itself_out(vault: ServedVault) -> None:
    async with vault.peer() as peer:
        request = identity_pb2.DenyIdentityRequest(spiffe_id=str(vault.operator.spiffe))
        assert (await _refusal(peer.unary(DENY, request, timeout=5))).reason is Reason.INVALID_REQUEST


async def test_a_denial_reaches_who_watches(vault: ServedVault) -> None:
    denied = str(spiffe("adapter", "lost", node="worker"))
    async with (
        vault.peer() as peer,
        peer.stream(WATCH_TRUST, identity_pb2.WatchTrustRequest(), timeout=10) as call,
    ):
        watch = aiter(call)
        assert list((await anext(watch)).denied_spiffe_ids) == []
        await peer.unary(DENY, identity_pb2.DenyIdentityRequest(spiffe_id=denied), timeout=5)
        assert list((await anext(watch)).denied_spiffe_ids) == [denied]


async def test_the_life_of_a_key(vault: ServedVault) -> None:
    gateway = await vault.join("gateway")
    async with vault.peer() as operator, vault.peer(gateway) as peer:
        made = await operator.unary(CREATE_KEY, keys_pb2.CreateKeyRequest(name="laptop"), timeout=5)
        request = keys_pb2.AuthenticateRequest(secret=made.secret)
        assert (await peer.unary(AUTHENTICATE, request, timeout=5)).key == made.key
        async with peer.stream(WATCH_KEYS, keys_pb2.WatchKeysRequest(), timeout=10) as call:
            watch = aiter(call)
            assert (await anext(watch)).WhichOneof("event") == "synced"
            revoked = await operator.unary(REVOKE_KEY, keys_pb2.RevokeKeyRequest(key="laptop"), timeout=5)
            assert (await anext(watch)).revoked_id == made.key.id
        assert (await _refusal(peer.unary(AUTHENTICATE, request, timeout=5))).reason is Reason.CALLER_KEY
        listed = await operator.unary(LIST_KEYS, keys_pb2.ListKeysRequest(), timeout=5)
        assert list(listed.keys) == [revoked.key]
        assert revoked.key.HasField("revoke_time")
        assert not revoked.key.HasField("expire_time")


async def test_the_life_of_a_tenant(vault: ServedVault) -> None:
    gateway = await vault.join("gateway")
    async with vault.peer() as operator, vault.peer(gateway) as peer:
        request: Any = tenants_pb2.CreateTenantRequest(name="clinic", zone="restricted", weight=3)
        tenant = (await operator.unary(CREATE_TENANT, request, timeout=5)).tenant
        assert (tenant.name, tenant.zone, tenant.weight) == ("clinic", "restricted", 3)
        request = keys_pb2.CreateKeyRequest(name="ward", tenant="clinic", zone="upstairs", manage=True)
        made = await operator.unary(CREATE_KEY, request, timeout=5)
        request = keys_pb2.AuthenticateRequest(secret=made.secret)
        answer = await peer.unary(AUTHENTICATE, request, timeout=5)
        assert (answer.key, answer.tenant) == (made.key, tenant)
        assert (made.key.tenant, made.key.zone, made.key.manage) == ("clinic", "upstairs", True)
        async with peer.stream(WATCH_KEYS, keys_pb2.WatchKeysRequest(), timeout=10) as call:
            watch = aiter(call)
            assert (await anext(watch)).WhichOneof("event") == "synced"
            request = tenants_pb2.UpdateTenantRequest(tenant="clinic", zone="vault-room")
            changed = (await operator.unary(UPDATE_TENANT, request, timeout=5)).tenant
            assert (await anext(watch)).tenant == changed
            assert (changed.zone, changed.weight, changed.id) == ("vault-room", 3, tenant.id)
            request = keys_pb2.UpdateKeyRequest(key="ward", zone="", manage=False)
            key = (await operator.unary(UPDATE_KEY, request, timeout=5)).key
            assert (await anext(watch)).key == key
            assert (key.zone, key.manage, key.tenant) == ("", False, "clinic")
        listed = (await operator.unary(LIST_TENANTS, tenants_pb2.ListTenantsRequest(), timeout=5)).tenants
        assert [each.name for each in listed] == ["clinic", "default"]
        delete = tenants_pb2.DeleteTenantRequest(tenant="clinic")
        refusal = await _refusal(operator.unary(DELETE_TENANT, delete, timeout=5))
        assert refusal.reason is Reason.INVALID_REQUEST
        await operator.unary(REVOKE_KEY, keys_pb2.RevokeKeyRequest(key="ward"), timeout=5)
        await operator.unary(DELETE_TENANT, delete, timeout=5)


async def test_times_out_of_range_are_refused(vault: ServedVault) -> None:
    request = keys_pb2.CreateKeyRequest(name="laptop", expire_time=Timestamp(seconds=2**60))
    async with vault.peer() as peer:
        assert (await _refusal(peer.unary(CREATE_KEY, request, timeout=5))).reason is Reason.INVALID_REQUEST


async def test_a_second_vault_on_the_same_home_does_not_start(vault: ServedVault) -> None:
    with pytest.raises(MeshError, match="Another vault runs"):
        async with served_vault(vault.mesh.settings.home):
            pass


async def test_the_operators_folder_is_renewed_while_the_vault_runs(tmp_path: Path) -> None:
    async with served_vault(tmp_path, certificate_ttl=8) as vault:
        first = vault.operator.expires_at
        await eventually(lambda: _operator(tmp_path).expires_at > first, 30, "the renewal")
        async with vault.peer(_operator(tmp_path)) as peer:
            await peer.unary(LIST_KEYS, keys_pb2.ListKeysRequest(), timeout=5)


def _operator(home: Path) -> Identity:
    material = tls.load(home / "operator")
    assert material is not None
    return Identity(material)
