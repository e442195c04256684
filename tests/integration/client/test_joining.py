"""How a program gets its identity, keeps it fresh, and does not lose it by asking twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from nexus.vault.v1 import identity_pb2
from nexus_client import AsyncClient
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import Claims, tls
from nexus_mesh.identity.claims import in_certificate
from support.vault import ServedVault, served_vault
from support.waiting import eventually

NOBODY = "127.0.0.1:9"
DEFAULT = identity_pb2.Claims(tenant="default")


@pytest_asyncio.fixture
async def vault(tmp_path: Path) -> AsyncIterator[ServedVault]:
    async with served_vault(tmp_path / "vault", certificate_ttl=4.0) as served:
        yield served


def leaf(folder: Path) -> x509.Certificate:
    material = tls.load(folder)
    assert material is not None
    return material.leaf()


async def test_a_token_is_redeemed_once_and_the_identity_renewed_with_its_tenant(
    vault: ServedVault, tmp_path: Path
) -> None:
    folder, token = tmp_path / "id", (await vault.token("client", claims=DEFAULT)).encode()
    async with AsyncClient.by_token(NOBODY, token, folder):
        first = leaf(folder)
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    async with AsyncClient.by_identity(NOBODY, folder, vault=vault.address):
        await eventually(
            lambda: leaf(folder).serial_number != first.serial_number, timeout=10, what="a renewal"
        )
    assert in_certificate(leaf(folder)) == Claims(tenant="default", tenant_id="default")
    async with AsyncClient.by_token(NOBODY, token, folder):
        pass
    for path in folder.glob("identity.pem"):
        path.unlink()
    with pytest.raises(MeshError, match="no join token that was not used") as caught:
        async with AsyncClient.by_token(NOBODY, token, folder):
            pass
    assert caught.value.reason is Reason.MESH_IDENTITY


@pytest.mark.parametrize("wrong", ["", "nxj_", "nxj_AAAA", "sk-something"])
async def test_what_is_no_token_is_told_without_being_shown(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(MeshError) as caught:
        async with AsyncClient.by_token(NOBODY, wrong, tmp_path / "id"):
            pass
    assert caught.value.reason in (Reason.JOIN_TOKEN, Reason.MESH_IDENTITY)
    assert wrong == "" or wrong not in caught.value.message.replace("starts with nxj_", "")
