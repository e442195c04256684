"""One instance that registered here: its row, its open keep-alive streams, its end if they stay closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus.registry.v1.instance_pb2 import Instance


class Beat:
    """One open keep-alive stream; told apart by identity."""


class Registration:
    """While no stream is open a timer runs; `on_expiry` is called with the instance's id when it ends."""

    def __init__(self, instance: Instance, lifetime: float, on_expiry: Callable[[str], None]) -> None:
        self.instance = instance
        self._lifetime = lifetime
        self._on_expiry = on_expiry
        self._beats: set[Beat] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.arm()

    @property
    def streaming(self) -> bool:
        return bool(self._beats)

    def holds(self, beat: Beat) -> bool:
        """Whether a stream is of this registration, as it now is."""
        return beat in self._beats

    def disown(self) -> None:
        """Whoever streams is not who is registered now; being told so, it may register again."""
        self._beats.clear()

    def open(self) -> Beat:
        beat = Beat()
        self._beats.add(beat)
        self.disarm()
        return beat

    def close(self, beat: Beat) -> None:
        """Forgets a stream; one that belongs to an earlier registration is not known and changes nothing."""
        self._beats.discard(beat)
        if not self._beats:
            self.arm()

    def arm(self) -> None:
        """Start the time that is left without a stream, from the beginning."""
        self.disarm()
        if not self._beats:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._lifetime, self._on_expiry, self.instance.id)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
