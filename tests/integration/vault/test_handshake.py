"""P-08: what the CA issues, a real TLS stack accepts: under the right name, for the right root, both ways."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from nexus_mesh.identity.tls import certificate_request, new_key
from nexus_vault.core import Core, open_core
from support.vault import spiffe, vault_settings


def _context(core: Core, folder: Path, role: str, purpose: ssl.Purpose, name: str = "main") -> ssl.SSLContext:
    """Mutual TLS with a fresh certificate for a role."""
    key = new_key()
    issued = core.authority.issue(spiffe(role, name), certificate_request(key))
    file = folder / f"{role}-{name}-{purpose.name}.pem"
    file.write_bytes(key + issued.chain_pem)
    context = ssl.create_default_context(purpose, cadata=issued.bundle_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(file)
    return context


async def _reads_hello(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bool:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            return await asyncio.wait_for(reader.read(), 5) == b"hello"
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("registry", "main.box.default.zone.registry.nexus.internal"),
        ("registry", "registry.nexus.internal"),
        ("adapter", "main.box.default.zone.adapter.nexus.internal"),
        ("etcd", "localhost"),
        ("etcd", "127.0.0.1"),
    ],
)
async def test_members_meet_under_their_names(core: Core, tmp_path: Path, role: str, name: str) -> None:
    server = _context(core, tmp_path, role, ssl.Purpose.CLIENT_AUTH)
    client = _context(core, tmp_path, "gateway", ssl.Purpose.SERVER_AUTH)
    assert await _reads_hello(server, client, name)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("registry", "router.nexus.internal"),
        ("registry", "other.box.registry.nexus.internal"),
        ("registry", "localhost"),
        ("adapter", "adapter.nexus.internal"),
    ],
)
async def test_a_member_does_not_pass_as_another(core: Core, tmp_path: Path, role: str, name: str) -> None:
    server = _context(core, tmp_path, role, ssl.Purpose.CLIENT_AUTH)
    client = _context(core, tmp_path, "gateway", ssl.Purpose.SERVER_AUTH)
    with pytest.raises(ssl.SSLCertVerificationError):
        await _reads_hello(server, client, name)


async def test_another_mesh_of_the_same_name_is_not_trusted(core: Core, tmp_path: Path) -> None:
    server = _context(core, tmp_path, "registry", ssl.Purpose.CLIENT_AUTH)
    async with open_core(vault_settings(tmp_path / "impostor")) as impostor:
        client = _context(impostor, tmp_path, "gateway", ssl.Purpose.SERVER_AUTH)
    with pytest.raises(ssl.SSLCertVerificationError):
        await _reads_hello(server, client, "registry.nexus.internal")
