"""Ports for a mesh: the usual ones where they are free, others where they are not; held from then on."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from types import TracebackType
from typing import Self

from nexus_mesh.identity import ROLE_TABLE

from nexus_cli.output import Failure

__all__ = ["USUAL", "Ports"]

USUAL = {name: port for role in ROLE_TABLE.values() for name, port in role.ports.items()}
# Below where systems take ports for outgoing connections, so that a restart finds its port still free.
SPARE = range(20_000, 32_000)
TRIES = 200

# Where one process may hold a port that another one, whom it tells of it, listens at.
SHARED = sys.platform == "linux"


class Ports:
    """The ports of one mesh: bound before anybody is told of them, and kept for as long as the mesh runs.

    Its processes can listen at them, as often as they are started again: their sockets and ours allow that as long as
    ours does not listen. Nobody else's bind gets one of them, and no other mesh takes one for free.
    """

    def __init__(self) -> None:
        self._held: dict[int, contextlib.ExitStack] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for stack in self._held.values():
            stack.close()

    def hold(self, host: str, port: int) -> bool:
        """Takes a port; False when it is somebody's already, perhaps ours."""
        if port in self._held:
            return False
        with contextlib.ExitStack() as stack:
            if not (_claimed(port, stack) and _bound(host, port, stack)):
                return False
            self._held[port] = stack.pop_all()
        return True

    def choose(self, host: str, wanted: int | None) -> int:
        """Takes `wanted` if it is free, else a spare one. Raises Failure when there is none."""
        for port in [*([wanted] if wanted else []), *random.sample(SPARE, TRIES)]:
            if self.hold(host, port):
                return port
        raise Failure(
            f"No free port was found on {host}.", "Close what holds the ports, or choose with --port."
        )


def _claimed(port: int, stack: contextlib.ExitStack) -> bool:
    """Whether no other mesh of this machine has the port, running or about to run."""
    if not SHARED:
        return True
    claim = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        claim.bind(f"\0nexus-port-{port}")  # no file: it ends with its process, however that ends
    except OSError:
        return False
    return True


def _bound(host: str, port: int, stack: contextlib.ExitStack) -> bool:
    """Binds; a connection of before that is still dying away on the port does not count as somebody."""
    for reuse in (False, True):
        probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind((host, port))
        except OSError:
            probe.close()
            continue
        if SHARED:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            stack.enter_context(probe)
        else:
            probe.close()
        return True
    return False
