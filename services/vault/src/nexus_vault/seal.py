"""Encryption at rest: AES-256-GCM, each record bound to its purpose, name and version."""

from __future__ import annotations

import json
import secrets
from dataclasses import astuple, dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_BYTES", "Label", "Seal", "SealBrokenError"]

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = b"\x01"


class SealBrokenError(Exception):
    """The record was changed, moved, or sealed with another key."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a sealed record is. A record opens only under the label it was sealed with."""

    purpose: str
    name: str
    version: int

    def encode(self) -> bytes:
        return json.dumps(["nexus-vault", *astuple(self)]).encode()


class Seal:
    """Seals and opens records with one key of 32 bytes.

    Nonces are random: the vault seals a few records in its life, far below the 2^32 GCM allows one key.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, label: Label, secret: bytes) -> bytes:
        """Format byte, nonce, ciphertext with tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return FORMAT + nonce + self._cipher.encrypt(nonce, secret, label.encode())

    def open(self, label: Label, sealed: bytes) -> bytes:
        """The secret. Raises SealBrokenError."""
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] != FORMAT or len(nonce) != NONCE_BYTES:
            raise SealBrokenError("unknown format")
        try:
            return self._cipher.decrypt(nonce, text, label.encode())
        except InvalidTag:
            raise SealBrokenError("changed, moved or sealed with another key") from None
