"""etcd as the mesh starts it: with the flags of `nexus up`, or with those of compose, and nothing of the test's own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import yaml
from nexus_cli import etcd
from nexus_mesh.identity.spiffe import role_server_name
from nexus_registry.etcd import EtcdClient, UnavailableError
from support.ca import MeshCA
from support.etcd import program
from support.processes import free_port, start
from support.waiting import eventually

COMPOSE = Path(__file__).parents[2] / "compose" / "compose.yaml"
WAYS = ("nexus up", "compose")


def compose_flags() -> list[str]:
    """What the compose file tells etcd."""
    return yaml.safe_load(COMPOSE.read_text())["services"]["etcd"]["command"][1:]


@asynccontextmanager
async def mesh_etcd_started(
    way: str, folder: Path, ca: MeshCA, without: tuple[str, ...] = ()
) -> AsyncIterator[str]:
    """A running member, started in one of WAYS; yields its endpoint. `without`: flags that are left out."""
    certificates, client, peer = folder / "certificates", free_port(), free_port()
    etcd.write_certificate(certificates, ca.material(ca.spiffe("etcd"), loopback=True))
    if way == "nexus up":
        command = etcd.command(folder / "data", certificates, client, peer, ca.trust_domain)
    else:
        command = [program("etcd"), *(_moved(flag, folder, client, peer) for flag in compose_flags())]
    command = [part for part in command if not part.startswith(without or ("-none",))]
    child = start(command, folder / "etcd.log")
    endpoint = f"127.0.0.1:{client}"
    try:
        await eventually(lambda: _answers(endpoint, ca), 20, "etcd to answer a registry")
        yield endpoint
    finally:
        child.kill()


def client_of(endpoint: str, ca: MeshCA, credentials: Callable[[], grpc.ChannelCredentials]) -> EtcdClient:
    """A client that expects the mesh's etcd and shows these credentials."""
    return EtcdClient([endpoint], credentials, server_name=role_server_name("etcd", ca.trust_domain))


async def _answers(endpoint: str, ca: MeshCA) -> bool:
    client = client_of(endpoint, ca, ca.identity("registry").channel_credentials)
    try:
        await client.get(b"/")
    except UnavailableError:
        return False
    finally:
        await client.close()
    return True


def _moved(flag: str, folder: Path, client: int, peer: int) -> str:
    """The container's places and ports, here."""
    here = flag.replace("/var/lib/nexus-etcd", str(folder)).replace("0.0.0.0:2379", f"127.0.0.1:{client}")
    here = here.replace("etcd.nexus.internal:2379", f"127.0.0.1:{client}")
    return re.sub(r":2380\b", f":{peer}", here)
