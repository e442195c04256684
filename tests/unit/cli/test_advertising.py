"""E7: join tokens name an address that others can reach, or the mesh says that it knows none."""

from __future__ import annotations

import pytest
from nexus_cli.advertising import advertised, choose
from nexus_cli.output import Failure

LOOPBACK = [("lo", "127.0.0.1"), ("lo", "::1")]
LAN = ("eth0", "192.168.1.5")
GLOBAL6 = ("eth0", "2001:470::5")
LOCAL6 = ("eth0", "fe80::1")
CONTAINERS = [("docker0", "172.17.0.1"), ("br-12ab", "172.18.0.1"), ("veth1", "10.88.0.1")]


@pytest.mark.parametrize(
    ("listen", "has", "told"),
    [
        ("0.0.0.0", [*LOOPBACK, LAN], "192.168.1.5"),
        ("0.0.0.0", [*LOOPBACK, *CONTAINERS, LOCAL6, LAN], "192.168.1.5"),
        ("::", [*LOOPBACK, LAN, GLOBAL6], "192.168.1.5"),
        ("::", [*LOOPBACK, LOCAL6, GLOBAL6], "2001:470::5"),
    ],
)
def test_the_one_address_that_leads_out_is_told(listen: str, has: list[tuple[str, str]], told: str) -> None:
    """E7: on a LAN without a default route the interfaces say it."""
    assert choose(listen, has) == told


@pytest.mark.parametrize(
    ("listen", "has"),
    [
        ("0.0.0.0", []),
        ("0.0.0.0", LOOPBACK),
        ("0.0.0.0", [*LOOPBACK, *CONTAINERS]),
        ("0.0.0.0", [*LOOPBACK, GLOBAL6]),
        ("0.0.0.0", [*LOOPBACK, LAN, ("wlan0", "10.0.0.7")]),
        ("::", [*LOOPBACK, LOCAL6]),
    ],
)
def test_nothing_is_guessed(listen: str, has: list[tuple[str, str]]) -> None:
    """E7: loopback is never told; without one answer the user is asked for it."""
    with pytest.raises(Failure) as refusal:
        choose(listen, has)
    assert "--advertise" in refusal.value.hint


@pytest.mark.parametrize(
    ("listen", "wanted"), [("0.0.0.0", "gpu.lan"), ("::", "10.1.2.3"), ("10.0.0.1", "vpn")]
)
def test_what_the_user_says_counts(listen: str, wanted: str) -> None:
    """E7"""
    assert advertised(listen, wanted) == wanted


@pytest.mark.parametrize("wanted", ["0.0.0.0", "::"])
def test_a_wildcard_is_no_address(wanted: str) -> None:
    """E7"""
    with pytest.raises(Failure):
        advertised("0.0.0.0", wanted)


def test_an_address_listened_on_is_the_one_told() -> None:
    """E7"""
    assert advertised("10.0.0.1", None) == "10.0.0.1"
