"""Which addresses may be asked because somebody announced them."""

from __future__ import annotations

import pytest
from nexus_mesh.process.mdns import is_local, local_interfaces, own_addresses


@pytest.mark.parametrize(
    "address",
    ["10.0.0.7", "172.16.3.4", "172.31.255.1", "192.168.1.7", "169.254.1.2", "127.0.0.1", "::1", "fd12::7"],
)
def test_home_networks_are_local(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "172.32.0.1", "192.169.0.1", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.251", "240.0.0.1",
        "169.254.169.254", "169.254.170.2", "2001:db8::1", "2606:4700::1", "fe80::1", "ff02::fb", "::", "fd00:ec2::254",
        "::ffff:8.8.8.8", "::ffff:10.0.0.1", "nas.local", "10.0.0.7/8", "", "10.1",
    ],
)  # fmt: skip
def test_nothing_else_is(address: str) -> None:
    assert not is_local(address)


def test_a_machine_knows_itself() -> None:
    assert "127.0.0.1" in own_addresses()
    assert "127.0.0.1" in local_interfaces()
    assert all(is_local(address) for address in local_interfaces())
