"""The secret that links to files are sealed with, by the gateways."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from nexus_mesh.core import ConfigError, create_private

__all__ = ["link_key"]

KEY_BYTES = 32


def link_key(path: Path) -> bytes:
    """What the file has; it is made when it is missing. Raises OSError, ConfigError."""
    with suppress(FileExistsError):
        create_private(path, secrets.token_bytes(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ConfigError(
            [f"{path} has no key of {KEY_BYTES} bytes; remove it: links made until now then end"]
        )
    return key
