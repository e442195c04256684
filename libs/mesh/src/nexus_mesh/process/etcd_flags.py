"""How every etcd of the mesh is started: the one table of its flags, whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_mesh.identity import role_server_name

__all__ = ["EtcdPlaces", "etcd_flags"]

QUOTA_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EtcdPlaces:
    """What differs between the ways to start it. Addresses are host:port, the others folders."""

    data: str
    certificates: str
    listen: str
    advertised: str
    peer: str


def etcd_flags(places: EtcdPlaces, trust_domain: str) -> list[str]:
    """One member with mutual TLS. Of the whole mesh registries alone are its clients, and etcd alone its peer."""
    client, peer = f"https://{places.advertised}", f"https://{places.peer}"
    table: dict[str, str | None] = {
        "name": "nexus",
        "data-dir": places.data,
        "listen-client-urls": f"https://{places.listen}",
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"nexus={peer}",
        "enable-grpc-gateway": "false",
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "quota-backend-bytes": str(QUOTA_BYTES),
        "log-level": "warn",
    }
    for prefix, allowed, role in (
        ("", "client-cert-allowed-hostname", "registry"),
        ("peer-", "peer-cert-allowed-hostname", "etcd"),
    ):
        table |= {
            f"{prefix}client-cert-auth": None,
            allowed: role_server_name(role, trust_domain),
            f"{prefix}cert-file": f"{places.certificates}/chain.pem",
            f"{prefix}key-file": f"{places.certificates}/key.pem",
            f"{prefix}trusted-ca-file": f"{places.certificates}/ca.pem",
        }
    return [f"--{name}" if value is None else f"--{name}={value}" for name, value in table.items()]
