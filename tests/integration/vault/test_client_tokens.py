"""Tokens for programs of a tenant: whose they are stands in the certificate, and stays there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from nexus.vault.v1 import identity_pb2, tenants_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import Claims, Identity, tls
from nexus_mesh.identity.claims import in_certificate
from support.vault import (
    CREATE_TENANT,
    DELETE_TENANT,
    LIST_IDENTITIES,
    RENEW,
    WATCH_TENANTS,
    ServedVault,
    served_vault,
)

pytestmark = pytest.mark.security


@pytest_asyncio.fixture
async def vault(tmp_path: Path) -> AsyncIterator[ServedVault]:
    async with served_vault(tmp_path) as served:
        yield served


async def tenant(vault: ServedVault, name: str, **fields: Any) -> tenants_pb2.Tenant:
    async with vault.peer() as peer:
        request = tenants_pb2.CreateTenantRequest(name=name, **fields)
        return (await peer.unary(CREATE_TENANT, request, timeout=5)).tenant


async def refusal(vault: ServedVault, role: str, **claims: Any) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await vault.token(role, claims=identity_pb2.Claims(**claims))
    return caught.value


def claims_of(identity: Identity) -> Claims:
    return in_certificate(x509.load_pem_x509_certificate(identity.chain_pem))


async def test_the_tenant_is_in_the_certificate_and_survives_renewals(vault: ServedVault) -> None:
    made = await tenant(vault, "acme", zone="home")
    identity = await vault.join("client", claims=identity_pb2.Claims(tenant="acme", models=["m*"]))
    assert claims_of(identity) == Claims(("m*",), tenant="acme", tenant_id=made.id)
    async with vault.peer(identity) as peer:
        key = tls.new_key()
        request = identity_pb2.RenewRequest(certificate_request=tls.certificate_request(key))
        renewed = (await peer.unary(RENEW, request, timeout=5)).certificate
    assert claims_of(Identity(tls.Material(key, renewed.chain_pem, renewed.bundle_pem))) == claims_of(
        identity
    )
    async with vault.peer() as peer:
        known = (
            await peer.unary(LIST_IDENTITIES, identity_pb2.ListIdentitiesRequest(), timeout=5)
        ).identities
    (row,) = [each for each in known if each.spiffe_id == str(identity.spiffe)]
    assert (row.claims.tenant, row.claims.tenant_id, list(row.claims.models)) == ("acme", made.id, ["m*"])


async def test_an_unknown_tenant_is_refused_with_the_nearest_name(vault: ServedVault) -> None:
    await tenant(vault, "acme")
    error = await refusal(vault, "client", tenant="acne")
    assert error.reason is Reason.OBJECT_NOT_FOUND
    assert "did you mean 'acme'?" in error.message


@pytest.mark.parametrize(
    ("role", "claims"),
    [
        ("client", {}),
        ("client", {"models": ["m"]}),
        ("client", {"tenant": "default", "priority_floor": 3}),
        ("client", {"tenant": "Not A Name"}),
        ("adapter", {"tenant": "default"}),
        ("gateway", {"tenant": "default"}),
        ("operator", {"tenant": "default"}),
    ],
)
async def test_clients_have_a_tenant_and_nobody_else_has(
    vault: ServedVault, role: str, claims: dict[str, Any]
) -> None:
    assert (await refusal(vault, role, **claims)).reason is Reason.INVALID_REQUEST


async def test_the_id_is_not_the_callers_to_tell(vault: ServedVault) -> None:
    """A tenant is named; whoever could give an id could take a deleted tenant's place."""
    made = await tenant(vault, "acme")
    claims = identity_pb2.Claims(tenant="acme", tenant_id="somebodyelse")
    assert claims_of(await vault.join("client", claims=claims)).tenant_id == made.id


async def test_gateways_are_told_all_tenants_now_and_on_every_change(vault: ServedVault) -> None:
    gateway = await vault.join("gateway")
    async with (
        vault.peer(gateway) as peer,
        peer.stream(WATCH_TENANTS, tenants_pb2.WatchTenantsRequest(), timeout=10) as call,
    ):
        told = aiter(call)
        assert [each.name for each in (await anext(told)).tenants] == ["default"]
        made = await tenant(vault, "acme", zone="home", weight=7)
        assert made in (await anext(told)).tenants
        async with vault.peer() as operator:
            await operator.unary(DELETE_TENANT, tenants_pb2.DeleteTenantRequest(tenant="acme"), timeout=5)
        assert [each.name for each in (await anext(told)).tenants] == ["default"]
