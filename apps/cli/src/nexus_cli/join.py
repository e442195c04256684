"""`nexus join`: this machine's engines become part of a mesh elsewhere."""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from nexus_mesh.core import addresses, write_private
from nexus_mesh.identity import Identity, JoinToken, Material, tls
from nexus_mesh.process import enrollment

from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure, console, print_json
from nexus_cli.progress import Progress
from nexus_cli.unit import Unit, UnitSpec

__all__ = ["Source", "join"]

LONGEST_INPUT = 4096
JOINED_WITH = "joined.sha256"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the token comes from: `argument` may only be "-"; neither = asked for, or standard input."""

    argument: str | None = None
    file: Path | None = None

    def read(self) -> str:
        """The token's text, empty when there is none. Raises Failure."""
        if self.argument not in (None, "-"):
            raise Failure(
                "A join token is not taken as an argument: every user of this machine could read it, and be quicker.",
                "Paste it when `nexus join` asks, pipe it (`... | nexus join -`), or use --token-file FILE."
                " This one may have been read: make a new one on the control host.",
            )
        if self.file is not None:
            try:
                return self.file.read_text()[:LONGEST_INPUT].strip()
            except (OSError, UnicodeDecodeError):
                raise Failure(
                    f"{self.file} cannot be read.", "Give the file the token was saved in."
                ) from None
        if self.argument is None and sys.stdin.isatty():
            return getpass.getpass("Join token (it is not shown): ").strip()
        return sys.stdin.read(LONGEST_INPUT).strip()


async def join(
    layout: Layout,
    source: Source,
    listen: str | None,
    discovery: bool,
    model: Path | None,
    name: str | None,
    *,
    as_json: bool,
) -> None:
    """Redeems the token, unless this machine has joined, then serves its engines until Ctrl-C."""
    before = _joined(layout)
    # Who has joined is asked for no token, and needs none.
    is_asked = source.argument is None and source.file is None and sys.stdin.isatty()
    text = "" if before is not None and is_asked else source.read()
    layout.prepare()
    with layout.only_one():
        if before is not None and (not text or _digest(text) == before.token):
            identity, control = before.identity, before.control
        else:
            identity, control = await _redeem(layout, _token(text))
        address = listen or _way_to(control["vault"])
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


@dataclass(frozen=True, slots=True)
class _Joined:
    """What an earlier join left in the home. `token`: the digest of the token it was done with."""

    identity: Identity
    control: dict[str, str]
    token: str


def _joined(layout: Layout) -> _Joined | None:
    folder, mesh = layout.identity("adapter", "main"), layout.read()
    material = tls.load(folder)
    try:
        token = (folder / JOINED_WITH).read_text()
    except OSError:
        return None
    return None if material is None or mesh is None else _Joined(Identity(material), mesh.control, token)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _token(text: str) -> JoinToken:
    try:
        return JoinToken.decode(text)
    except ValueError as error:
        raise Failure(f"{error}.", "On the control host: nexus token create --node NAME") from None


async def _redeem(layout: Layout, token: JoinToken) -> tuple[Identity, dict[str, str]]:
    with enrollment.joining_key(layout.home / "run" / "joining.pem") as key:
        joined = await enrollment.join(token, tls.certificate_request(key))
        material = Material(key, joined.certificate.chain_pem, joined.certificate.bundle_pem)
        identity = Identity(material)
        folder = layout.identity(identity.spiffe.role, identity.spiffe.name)
        tls.store(folder, material)
        # A token presented twice withdraws the identity: the same command given again must not do that.
        write_private(folder / JOINED_WITH, _digest(token.encode()).encode())
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
