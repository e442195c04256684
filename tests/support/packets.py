"""Every packet that a machine sends over its cable, seen from the other end of it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from support.lan import LINK, Machine
from support.waiting import eventually

__all__ = ["Packet", "Watch", "watching"]

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
HOP_BY_HOP, IGMP, TCP, UDP, ICMPV6 = 0, 2, 6, 17, 58
NEIGHBOURS = {130, 131, 132, 133, 134, 135, 136, 143}
"""Types of ICMPv6 by which kernels learn of their neighbours' addresses and groups."""
FENCE = 49999


@dataclass(frozen=True)
class Packet:
    to: str
    """The address; empty for what no program sends but the kernel, to find its neighbours."""
    port: int = 0
    protocol: int = 0


@dataclass
class Watch:
    machine: Machine
    """Whose packets are seen."""
    other: Machine
    packets: list[Packet] = field(default_factory=list)

    async def seen(self) -> set[Packet]:
        """What programs have sent until now."""
        say = (
            f"import socket as s; s.socket(type=s.SOCK_DGRAM).sendto(b'.', ('{self.other.address}', {FENCE}))"
        )
        before = self._fences()
        process = await asyncio.create_subprocess_exec(*self.machine.via, sys.executable, "-c", say)
        await process.wait()
        await eventually(lambda: self._fences() > before, timeout=20, what="the packet sent last")
        return {one for one in self.packets if one.to and one.port != FENCE}

    def _fences(self) -> int:
        return sum(one.port == FENCE for one in self.packets)


@asynccontextmanager
async def watching(machine: Machine, other: Machine) -> AsyncIterator[Watch]:
    """Gives the machine a way out, over the other one, and watches there what takes it."""
    for address, hosts in (("fd00::10", machine), ("fd00::20", other)):
        await hosts.ip("address", "add", f"{address}/64", "dev", LINK, "nodad")
    await machine.ip("route", "add", "default", "via", other.address)
    await machine.ip("-6", "route", "add", "default", "via", "fd00::20")
    process = await asyncio.create_subprocess_exec(
        *other.via, sys.executable, "-m", "support.packets", cwd=sys.path[0] or ".",
        env={"PYTHONPATH": ":".join(sys.path)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"watching\n"
    watch = Watch(machine, other)

    async def read(lines: asyncio.StreamReader) -> None:
        async for line in lines:
            watch.packets.append(Packet(**json.loads(line)))

    reading = asyncio.create_task(read(process.stdout))
    try:
        yield watch
    finally:
        process.kill()
        await process.wait()
        await reading


def packet(kind: int, data: bytes) -> Packet:
    """Of a frame without its Ethernet header."""
    if kind == IPV4:
        protocol, to, rest = data[9], data[16:20], data[(data[0] & 15) * 4 :]
        neighbours = protocol == IGMP
    elif kind == IPV6:
        protocol, to, rest = data[6], data[24:40], data[40:]
        if protocol == HOP_BY_HOP:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        neighbours = protocol == ICMPV6 and rest[0] in NEIGHBOURS
    else:
        return Packet("" if kind == ARP else f"ethertype {kind:#06x}")
    port = struct.unpack("!H", rest[2:4])[0] if protocol in (TCP, UDP) else 0
    return Packet("" if neighbours else str(ipaddress.ip_address(to)), port, protocol)


def main() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003)) as cable:
        cable.bind((LINK, 0x0003))
        print("watching", flush=True)
        while True:
            data, (_, kind, direction, *_) = cable.recvfrom(1 << 16)
            if direction != socket.PACKET_OUTGOING:  # type: ignore[attr-defined]
                print(json.dumps(asdict(packet(kind, data))), flush=True)


if __name__ == "__main__":
    main()
