"""Whose program listens at an address of this machine: "on this machine" is not "mine"."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nexus_mesh import telemetry

__all__ = ["ANYONE", "Owners", "owners_in"]

ANYONE = "*"
ROOT = 0
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"
LSOF = "/usr/sbin/lsof"
LSOF_SECONDS = 2.0
TOLD = 256

log = telemetry.logger("discovery")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Owners:
    """Knows whose listeners are trusted: ours, root's, and those of `users`. ANYONE among them: everybody's."""

    def __init__(self, users: Iterable[str]) -> None:
        names = set(users)
        self._anyone = ANYONE in names
        self._trusted = {ROOT, os.geteuid(), *_numbers(names - {ANYONE})}
        self._told: set[tuple[int, frozenset[int]]] = set()

    async def admits(self, address: str, port: int) -> bool:
        """Whether everybody who listens there is trusted. Who listens where nobody can tell is not."""
        return not await self.foreign(address, port, unknown=True)

    async def foreign(self, address: str, port: int, *, unknown: bool = False) -> bool:
        """Whether somebody who is not trusted listens there. `unknown`: the answer where it cannot be told."""
        if self._anyone:
            return False
        found = await asyncio.to_thread(_owners, address, port)
        if not found:
            return unknown
        strangers = found - self._trusted
        if strangers and len(self._told) < TOLD and (port, strangers) not in self._told:
            self._told.add((port, strangers))
            log.info(
                "listener of another user left alone; to serve it, list it in [[backends]], or its user in "
                "[adapter] discover_users",
                port=port,
                users=sorted(strangers),
            )
        return bool(strangers)


def _numbers(names: Iterable[str]) -> Iterator[int]:
    """Users this machine does not have cannot listen on it."""
    for name in names:
        try:
            yield pwd.getpwnam(name).pw_uid
        except KeyError:
            continue


def _owners(address: str, port: int) -> frozenset[int]:
    """The users who listen there; empty when that cannot be told."""
    if sys.platform == "darwin":
        return _by_lsof(port)
    wanted, found = ipaddress.ip_address(address), frozenset[int]()
    for table in TABLES:
        try:
            found |= owners_in(table.read_text("ascii"), wanted, port)
        except OSError:
            continue
    return found


def owners_in(table: str, wanted: Address, port: int) -> frozenset[int]:
    """The users of the listeners that take connections to an address, in a table of the kernel's."""
    found = set[int]()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[3] != LISTENING:
            continue
        where, _, number = fields[1].partition(":")
        if int(number, 16) == port and _takes(_address(where), wanted):
            found.add(int(fields[7]))
    return frozenset(found)


def _address(text: str) -> Address:
    """Words of 32 bits, each as this machine keeps it."""
    words = [text[at : at + 8] for at in range(0, len(text), 8)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _takes(listens: Address, wanted: Address) -> bool:
    """One for every IPv6 address mostly takes those of IPv4 too."""
    return listens == wanted or (listens.is_unspecified and listens.version >= wanted.version)


def _by_lsof(port: int) -> frozenset[int]:
    """On a Mac: it shows the caller's own programs and no others, so whatever it shows is ours."""
    line = [LSOF, "-nP", "-a", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fu"]
    try:
        told = subprocess.run(  # noqa: S603 - a fixed program, and a number
            line, capture_output=True, text=True, timeout=LSOF_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(int(row[1:]) for row in told.stdout.splitlines() if row[:1] == "u" and row[1:].isdigit())
