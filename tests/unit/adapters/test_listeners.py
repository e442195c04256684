"""Whose listeners there are, by the kernel's tables."""

from __future__ import annotations

import ipaddress
import sys

import pytest
from nexus_inference_adapters.discovery.listeners import Owners, listeners_in, owners_in

PORT = 8000
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(address: str, port: int, user: int, state: str = "0A") -> str:
    packed = ipaddress.ip_address(address).packed
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    text = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"   0: {text}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user:>5} 0 1 1\n"


@pytest.mark.parametrize(
    ("listens", "wanted", "takes"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("::", "::1", True),
        ("::1", "::1", True),
        ("192.168.1.7", "127.0.0.1", False),
        ("::1", "127.0.0.1", False),
        ("0.0.0.0", "::1", False),
    ],
)
def test_who_takes_connections_to_an_address(listens: str, wanted: str, takes: bool) -> None:
    """A7"""
    table = (
        HEADER + line(listens, PORT, 1001) + line(listens, PORT + 1, 1002) + line(wanted, PORT, 7, state="01")
    )
    assert owners_in(listeners_in(table), ipaddress.ip_address(wanted), PORT) == ({1001} if takes else set())


def test_all_who_listen_count() -> None:
    """A7: of two, who gets a connection is not ours to know."""
    table = HEADER + line("127.0.0.1", PORT, 0) + line("0.0.0.0", PORT, 1001)
    assert owners_in(listeners_in(table), ipaddress.ip_address("127.0.0.1"), PORT) == {0, 1001}


async def test_where_nobody_listens_nobody_is_trusted_and_nobody_a_stranger() -> None:
    """A7"""
    owners = Owners(("nobody-of-that-name",))
    assert not await owners.admits("127.0.0.1", 1)
    assert not await owners.foreign("127.0.0.1", 1)
