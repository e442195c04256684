"""Identities withdrawn before their time: kept beside our own, so that they stay withdrawn while the vault is away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from nexus_mesh.core import ConfigError, private_folder, write_private
from nexus_mesh.identity.spiffe import SpiffeId

__all__ = ["Denials"]

FILE = "denied.json"


class Denials(AbstractSet[str]):
    """The SPIFFE ids refused everywhere, as callers and as servers. A live set: `replace` changes it in place."""

    def __init__(self) -> None:
        self.revision = 0
        self._names: frozenset[str] = frozenset()
        self._servers: frozenset[str] = frozenset()
        self._listeners: list[Callable[[], None]] = []

    def __contains__(self, spiffe_id: object) -> bool:
        return spiffe_id in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def has_server(self, server_name: str) -> bool:
        """Whether the identity that a certificate with this DNS name belongs to is withdrawn.

        Who dials sees no more of the other side than this name, which the handshake proves.
        """
        return server_name in self._servers

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Calls back after every change."""
        self._listeners.append(listener)

    def replace(self, names: Iterable[str], revision: int) -> frozenset[str]:
        """Takes a list over, unless it is older than ours; the names that were not denied before."""
        if revision < self.revision:
            return frozenset()
        before, self._names, self.revision = self._names, frozenset(names), revision
        self._servers = frozenset(filter(None, map(_server_name, self._names)))
        if self._names != before:
            for listener in self._listeners:
                listener()
        return self._names - before

    def load(self, folder: Path) -> None:
        """Takes over what was saved there, if anything. Raises ConfigError when that cannot be read."""
        path = folder / FILE
        try:
            saved = json.loads(path.read_bytes())
            self.replace(map(str, saved["denied"]), int(saved["revision"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError):
            problem = (
                f"the list of withdrawn identities {path} cannot be read: remove it while the vault runs"
            )
            raise ConfigError([problem]) from None

    def save(self, folder: Path) -> None:
        """Replaces what was saved there. Blocks. Raises OSError."""
        private_folder(folder)
        content = {"revision": self.revision, "denied": sorted(self._names)}
        write_private(folder / FILE, json.dumps(content, indent=1).encode())


def _server_name(spiffe_id: str) -> str | None:
    try:
        return SpiffeId.parse(spiffe_id).server_name
    except ValueError:
        return None
