"""Two hosts as network namespaces with one cable between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Host", "Network", "built"]

IP = shutil.which("ip") or "/usr/sbin/ip"
END_SECONDS = 20.0


@dataclass(frozen=True)
class Host:
    """A namespace, its end of the cable and its address there."""

    namespace: str
    link: str
    address: str

    @property
    def via(self) -> tuple[str, ...]:
        """What a command is put behind to run on this host."""
        return (IP, "netns", "exec", self.namespace)

    def unplug(self) -> None:
        """This host's link goes down. The other one loses the signal, and what it sends is lost without a word."""
        self._set_link("down")

    def plug_in(self) -> None:
        self._set_link("up")

    def pids(self) -> list[int]:
        """Every process that runs on it."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]

    def _set_link(self, state: str) -> None:
        _ip("-n", self.namespace, "link", "set", self.link, state)


@dataclass(frozen=True)
class Network:
    """The hosts of one run; its name makes theirs unique."""

    name: str

    @property
    def a(self) -> Host:
        return Host(f"nexus-{self.name}-a", f"na{self.name}", "10.211.0.1")

    @property
    def b(self) -> Host:
        return Host(f"nexus-{self.name}-b", f"nb{self.name}", "10.211.0.2")

    def build(self) -> None:
        for host in (self.a, self.b):
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        ends = (self.a.link, "netns", self.a.namespace, "type", "veth", "peer", self.b.link)
        _ip("link", "add", *ends, "netns", self.b.namespace)
        for host in (self.a, self.b):
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", host.link)
            host.plug_in()

    def remove(self) -> None:
        """Ends what still runs on the hosts, then removes them; the cable goes with them."""
        existing = [host for host in (self.a, self.b) if host.namespace in _ip("netns", "list")]
        for number in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + END_SECONDS
            for pid in [pid for host in existing for pid in host.pids()]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while any(host.pids() for host in existing) and time.monotonic() < until:
                time.sleep(0.1)
        for host in existing:
            _ip("netns", "del", host.namespace)


@contextmanager
def built() -> Iterator[Network]:
    """A network that is gone afterwards, whatever happened."""
    network = Network(f"{os.getpid():x}")
    try:
        network.build()
        yield network
    finally:
        network.remove()


def _ip(*arguments: str) -> str:
    done = subprocess.run([IP, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
