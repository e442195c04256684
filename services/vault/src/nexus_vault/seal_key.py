"""The key that opens the vault: a file, made at the first start, that may live on another medium."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from nexus_mesh.core import create_private, private_folder, telemetry

from nexus_vault.errors import VaultUnusableError
from nexus_vault.seal import KEY_BYTES

__all__ = ["load_seal_key"]

OTHERS = 0o077

log = telemetry.logger("vault")


def load_seal_key(path: Path, *, may_create: bool) -> bytes:
    """The 32 bytes in the file; makes the file first when there is none and nothing is sealed yet.

    Raises VaultUnusableError, naming the file.
    """
    try:
        if may_create:
            _create(path)
        text = path.read_bytes()
        if path.stat().st_mode & OTHERS:
            log.warning("seal key is readable by other users", path=str(path))
    except FileNotFoundError:
        raise VaultUnusableError(
            f"The seal key {path} is missing, and the store holds records only it can open: put it back."
        ) from None
    except OSError as error:
        raise VaultUnusableError(
            f"The seal key {path} cannot be used: {error.strerror}. Check its owner and mode."
        ) from None
    return _decode(path, text)


def _create(path: Path) -> None:
    private_folder(path.parent)
    try:
        create_private(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
    except FileExistsError:
        return
    log.info("seal key created", path=str(path))


def _decode(path: Path, text: bytes) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise VaultUnusableError(
            f"The seal key {path} is damaged: it must hold {KEY_BYTES} bytes in base64. Put it back."
        )
    return key
