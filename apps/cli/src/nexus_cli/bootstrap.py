"""What a mesh needs before its members can start: a vault that answers, join tokens, a certificate for etcd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from nexus.vault.v1 import identity_pb2
from nexus_mesh.core import MeshError, addresses, write_private
from nexus_mesh.identity import Identity, JoinToken, Material, role_server_name, tls
from nexus_mesh.process import CHECK, enrollment
from nexus_mesh.rpc import Method, Peer

from nexus_cli import etcd, ports
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console

__all__ = ["CREATE_TOKEN", "START_SECONDS", "bootstrap", "certify_etcd", "leave_token", "reach_vault"]

CREATE_TOKEN = Method(
    "nexus.vault.v1.IdentityService",
    "CreateJoinToken",
    identity_pb2.CreateJoinTokenRequest,
    identity_pb2.CreateJoinTokenResponse,
)
MEMBERS = ("registry", "router", "store", "adapter", "gateway")
START_SECONDS = 60.0
POLL = 0.05


async def bootstrap(
    layout: Layout, node: str, join: Path, etcd_files: Path, adapters: Sequence[str] = ()
) -> None:
    """Prepares a mesh whose every role is reached under its own name, then keeps etcd's certificate fresh.

    Each member's token goes to `<join>/<role>/token`, and of each of `adapters`, the names of further ones, to
    `<join>/adapter-<name>/token`. Runs until SIGTERM or SIGINT. Raises Failure, MeshError.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    working = asyncio.ensure_future(_prepare(layout, node, join, etcd_files, adapters))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _prepare(layout: Layout, node: str, join: Path, etcd_files: Path, adapters: Sequence[str]) -> None:
    layout.prepare()
    mesh = _named_by_role(node)
    layout.write(mesh)
    vault = await reach_vault(layout, mesh)
    try:
        renewal = await certify_etcd(layout, mesh, vault, etcd_files)
        for role in MEMBERS:
            await leave_token(vault, join / role / "token", role, node)
            console.print(f"Left a join token for the {role}.")
        for name in adapters:
            await leave_token(vault, join / f"adapter-{name}" / "token", "adapter", node, name)
            console.print(f"Left a join token for the adapter {name}.")
        await renewal
    finally:
        await vault.close()


async def reach_vault(
    layout: Layout, mesh: MeshFile, check: Callable[[], None] = lambda: None, until: float | None = None
) -> Peer:
    """The vault, called as its operator, once it answers. `check` may raise at each try that it never will.

    `until` is on the loop's clock; START_SECONDS from now if it is not given.
    """
    try:
        async with asyncio.timeout_at(until or asyncio.get_running_loop().time() + START_SECONDS):
            while (peer := await _answering(layout, mesh)) is None:
                check()
                await asyncio.sleep(POLL)
            return peer
    except TimeoutError:
        raise Failure(
            f"The vault at {mesh.control['vault']} did not answer within {START_SECONDS:.0f} s.",
            f"Its log tells why: {layout.log('vault')}",
        ) from None


async def _answering(layout: Layout, mesh: MeshFile) -> Peer | None:
    material = tls.load(layout.operator)
    if material is None:
        return None
    server_name = role_server_name("vault", mesh.trust_domain)
    peer = Peer(mesh.control["vault"], server_name, Identity(material))
    try:
        await peer.unary(CHECK, CHECK.request(), timeout=1.0)
    except MeshError:
        await peer.close()
        return None
    except BaseException:
        await peer.close()
        raise
    return peer


async def leave_token(
    vault: Peer, path: Path, role: str, node: str, name: str = "main", zone: str = "default"
) -> None:
    """Writes a new join token for one identity to a file that appears whole, readable by its owner only."""
    text = await _token(vault, role, node, name, zone)
    await asyncio.to_thread(write_private, path, text.encode())


async def certify_etcd(layout: Layout, mesh: MeshFile, vault: Peer | None, files: Path) -> asyncio.Task[None]:
    """Gives etcd a certificate in `files`. The task renews it in time, until cancelled.

    `vault` may be None when etcd has one already.
    """
    folder = layout.identity("etcd", "main")
    material = tls.load(folder)
    if material is None:
        assert vault is not None  # noqa: S101 - said above
        material = await _first_etcd_material(vault, mesh.node)
    identity = Identity(material)
    tls.store(folder, identity.material)
    etcd.write_certificate(files, identity.material)
    identity.subscribe(lambda: etcd.write_certificate(files, identity.material))
    server_name = role_server_name("vault", mesh.trust_domain)
    renew = enrollment.renew_with(Peer(mesh.control["vault"], server_name, identity))
    return asyncio.create_task(enrollment.keep_fresh(identity, folder, renew), name="etcd's renewal")


async def _first_etcd_material(vault: Peer, node: str) -> Material:
    key = tls.new_key()
    token = JoinToken.decode(await _token(vault, "etcd", node, "main", "default"))
    joined = await enrollment.join(token, tls.certificate_request(key))
    return Material(key, joined.certificate.chain_pem, joined.certificate.bundle_pem)


async def _token(vault: Peer, role: str, node: str, name: str, zone: str) -> str:
    request = identity_pb2.CreateJoinTokenRequest(role=role, node=node, name=name, zone=zone)
    return (await vault.unary(CREATE_TOKEN, request, timeout=5.0)).token


def _named_by_role(node: str) -> MeshFile:
    """Where things are when the network gives each process its role's name: registry:7410, vault:7430."""
    control = {
        role: addresses.join(role, ports.USUAL[role]) for role in ("registry", "router", "vault", "gateway")
    }
    control["join"] = addresses.join("vault", ports.USUAL["join"])
    control["etcd"] = "etcd:2379"
    http = f"http://{addresses.join('gateway', ports.USUAL['http'])}"
    return MeshFile(node=node, control=control, http=http, pid=os.getpid())
