"""Ports for a mesh: the usual ones where they are free, others where they are not."""

from __future__ import annotations

import random
import socket

from nexus_cli.output import Failure

__all__ = ["USUAL", "choose", "is_free"]

USUAL = {
    "gateway": 7400,
    "registry": 7410,
    "router": 7420,
    "vault": 7430,
    "join": 7431,
    "etcd": 7470,
    "etcd-peer": 7471,
    "adapter": 7450,
    "http": 8080,
}
# Below where systems take ports for outgoing connections, so that a restart finds its port still free.
SPARE = range(20_000, 32_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose(host: str, wanted: int | None, taken: set[int]) -> int:
    """`wanted` if it is free, else a spare one not in `taken`."""
    candidates = ([wanted] if wanted else []) + random.sample(SPARE, 200)
    for port in candidates:
        if port not in taken and is_free(host, port):
            taken.add(port)
            return port
    raise Failure(f"No free port was found on {host}.", "Close what holds the ports, or choose with --port.")
