"""Whose program listens at an address of this machine: "on this machine" is not "mine"."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nexus_mesh.core import telemetry

__all__ = ["ANYONE", "FRESH_SECONDS", "Listener", "Owners", "listeners_in", "owners_in"]

ANYONE = "*"
ROOT = 0
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"
LSOF = "/usr/sbin/lsof"
LSOF_SECONDS = 2.0
TOLD = 256
FRESH_SECONDS = 1.0
"""A flood of announcements asks for many ports at once."""

log = telemetry.logger("discovery")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Listener(NamedTuple):
    """A socket that takes connections, and the user it belongs to."""

    address: Address
    port: int
    user: int


class Owners:
    """Knows whose listeners are trusted: ours, root's, and those of `users`. ANYONE among them: everybody's."""

    def __init__(self, users: Iterable[str]) -> None:
        names = set(users)
        self._anyone = ANYONE in names
        self._trusted = {ROOT, os.geteuid(), *_numbers(names - {ANYONE})}
        self._told: set[tuple[int, frozenset[int]]] = set()
        self._listening: tuple[Listener, ...] = ()
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def admits(self, address: str, port: int, fresh: float = 0.0) -> bool:
        """Whether everybody who listens there is trusted, as of `fresh` seconds ago. Who cannot be told is not."""
        if self._anyone:
            return True
        found = await self._owners(address, port, fresh)
        return bool(found) and not self._strangers(found, port)

    async def foreign(self, address: str, port: int) -> bool:
        """Whether somebody who is not trusted listens there now. Where nobody can tell there is no stranger."""
        if self._anyone:
            return False
        return bool(self._strangers(await self._owners(address, port, 0.0), port))

    def _strangers(self, found: frozenset[int], port: int) -> frozenset[int]:
        strangers = found - self._trusted
        if strangers and len(self._told) < TOLD and (port, strangers) not in self._told:
            self._told.add((port, strangers))
            log.info(
                "listener of another user left alone; to serve it, list it in [[backends]], or its user in "
                "[adapter] discover_users",
                port=port,
                users=sorted(strangers),
            )
        return strangers

    async def _owners(self, address: str, port: int, fresh: float) -> frozenset[int]:
        """The users who listen there; empty when that cannot be told."""
        if sys.platform == "darwin":
            return await asyncio.to_thread(_by_lsof, port)
        async with self._reading:
            if time.monotonic() - self._read_at > fresh:
                self._listening = await asyncio.to_thread(_listening)
                self._read_at = time.monotonic()
        return owners_in(self._listening, ipaddress.ip_address(address), port)


def _numbers(names: Iterable[str]) -> Iterator[int]:
    """Users this machine does not have cannot listen on it."""
    for name in names:
        try:
            yield pwd.getpwnam(name).pw_uid
        except KeyError:
            continue


def owners_in(listening: Iterable[Listener], wanted: Address, port: int) -> frozenset[int]:
    """The users of the listeners that take connections to an address."""
    return frozenset(one.user for one in listening if one.port == port and _takes(one.address, wanted))


def listeners_in(table: str) -> Iterator[Listener]:
    """Who listens, by a table of the kernel's."""
    for line in table.splitlines()[1:]:
        fields = line.split() if LISTENING in line else []  # most are connections, and there may be many
        if len(fields) >= 8 and fields[3] == LISTENING:
            where, _, number = fields[1].partition(":")
            yield Listener(_address(where), int(number, 16), int(fields[7]))


def _listening() -> tuple[Listener, ...]:
    found: list[Listener] = []
    for table in TABLES:
        try:
            found += listeners_in(table.read_text("ascii"))
        except OSError:
            continue
    return tuple(found)


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
