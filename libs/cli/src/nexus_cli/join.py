"""`nexus join TOKEN`: this machine's engines become part of a mesh elsewhere."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

from nexus_mesh import addresses, enrollment, tls
from nexus_mesh.join_token import JoinToken
from nexus_mesh.tls import Identity, Material

from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console, print_json
from nexus_cli.progress import Progress
from nexus_cli.unit import Unit, UnitSpec

__all__ = ["join"]


async def join(
    layout: Layout,
    text: str,
    listen: str | None,
    discovery: bool,
    model: Path | None,
    name: str | None,
    *,
    as_json: bool,
) -> None:
    """Redeems the token, then serves this machine's engines until Ctrl-C."""
    try:
        token = JoinToken.decode(text)
    except ValueError as error:
        raise Failure(f"{error}.", "On the control host: nexus token create --node NAME") from None
    layout.prepare()
    with layout.only_one():
        identity, control = await _redeem(layout, token)
        address = listen or _way_to(token.address)
        mesh = MeshFile(identity.spiffe.node, identity.spiffe.trust_domain, {}, control)
        layout.write(mesh)
        if as_json:
            print_json({"state": "joined", "identity": str(identity.spiffe), "control": control})
        else:
            console.print(f"Joined as {identity.spiffe.instance_id}. Ctrl-C stops serving.")
        flags = ["--discovery", str(discovery).lower()]
        flags += [
            part
            for flag, value in (("--model", model), ("--model-name", name))
            if value
            for part in (flag, str(value))
        ]
        await _serve(layout, mesh, address, flags, as_json=as_json)


async def _redeem(layout: Layout, token: JoinToken) -> tuple[Identity, dict[str, str]]:
    key = tls.new_key()
    joined = await enrollment.join(token, tls.certificate_request(key))
    material = Material(key, joined.certificate.chain_pem, joined.certificate.bundle_pem)
    identity = Identity(material)
    tls.store(layout.identity(identity.spiffe.role, identity.spiffe.name), material)
    return identity, dict(joined.control_plane)


async def _serve(layout: Layout, mesh: MeshFile, address: str, flags: list[str], *, as_json: bool) -> None:
    control = [part for role in ("registry", "router", "vault") for part in (f"--{role}", mesh.control[role])]
    where = ["--home", str(layout.home), "--node", mesh.node, "--host", address]
    command = [sys.executable, "-m", "nexus_inference_adapters", *where, *control, *flags]
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    progress = Progress(quiet=as_json)
    progress.done()
    unit = Unit(UnitSpec("adapter", command, layout.log("adapter")), progress.changed)
    unit.start()
    try:
        await stop.wait()
    finally:
        await unit.stop()


def _way_to(address: str) -> str:
    """This machine's own address on the way to another; sends nothing."""
    host, port = addresses.split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, port))
        except OSError:
            raise Failure(
                f"{address} cannot be reached from here.", "Check the network between the machines."
            ) from None
        return str(probe.getsockname()[0])
