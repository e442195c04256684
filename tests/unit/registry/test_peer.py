"""The host of an address comes from the connection."""

from __future__ import annotations

import pytest
from nexus_mesh.core.errors import MeshError
from nexus_registry.peer import join_address, peer_host


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.168.1.5:53412", "192.168.1.5"),
        ("ipv6:[::1]:53412", "::1"),
        ("ipv6:%5Bfd00::2%5D:1", "fd00::2"),
        ("ipv6:[::ffff:10.0.0.7]:443", "10.0.0.7"),
    ],
)
def test_host(peer: str, host: str) -> None:
    assert peer_host(peer) == host


@pytest.mark.parametrize("peer", ["unix:/run/socket", "ipv4:", "", "ipv4:host:1", "dns:host:1"])
def test_no_host(peer: str) -> None:
    with pytest.raises(MeshError):
        peer_host(peer)


def test_address() -> None:
    assert join_address("10.0.0.7", 7450) == "10.0.0.7:7450"
    assert join_address("fd00::2", 7450) == "[fd00::2]:7450"
    assert join_address("127.0.0.1", 7450, "box.lan") == "box.lan:7450"
    assert join_address("10.0.0.7", 7450, "box.lan") == "10.0.0.7:7450"
