"""What is believed of an announcement: where to look, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from nexus_mesh.process import mdns

from nexus_inference_adapters.discovery.probing import LOOPBACK

__all__ = ["SERVICES", "Advert", "Use", "read_advert"]

ADDRESSES = 3
"""That are tried of one service; a machine with container bridges has many."""


class Use(Enum):
    """What a kind of service is to an adapter; the value is what is logged of one."""

    ENGINE = "perhaps an engine"
    MESH = "a mesh's endpoint, never a backend"
    NOT_YET = "found, not usable yet: there is no adapter for it"


SERVICES = {
    "_ollama._tcp.local.": Use.ENGINE,
    "_llm._tcp.local.": Use.ENGINE,
    "_openai._tcp.local.": Use.ENGINE,
    "_wyoming._tcp.local.": Use.NOT_YET,
    mdns.NEXUS_SERVICE: Use.MESH,
}


@dataclass(frozen=True, slots=True)
class Advert:
    """A service somebody announced. `addresses` are at most three that may be asked, the best first; never none."""

    name: str
    use: Use
    addresses: tuple[str, ...]
    port: int
    server: str = ""
    """The host name it was announced with, for comparison only."""

    @property
    def address(self) -> str:
        """What stands for the machine that announced it."""
        return self.addresses[0]


def read_advert(
    name: str, use: Use, addresses: Iterable[str], port: int | None, server: str | None
) -> Advert | None:
    """The advert of a service; None when it names nothing that may be asked. Its TXT record is not even read."""
    usable = sorted({one for one in addresses if mdns.is_local(one)}, key=_preference)
    if not usable or port is None or not 0 < port < 65536:
        return None
    return Advert(name, use, tuple(usable[:ADDRESSES]), port, (server or "").rstrip(".").lower())


def _preference(address: str) -> tuple[bool, bool, bool, str]:
    """Container bridges mostly are in 172.16.0.0/12, and those of two machines in the same part of it."""
    return address != LOOPBACK, ":" in address, address.startswith("172."), address
