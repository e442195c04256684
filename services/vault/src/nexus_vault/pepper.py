"""A keyed hash: what the store keeps of a secret it must recognise but never show."""

from __future__ import annotations

import hmac

__all__ = ["PEPPER_BYTES", "Pepper"]

PEPPER_BYTES = 32


class Pepper:
    """HMAC-SHA256 under a key that lies sealed in the store, apart for every purpose."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, purpose: bytes, secret: str) -> bytes:
        """32 bytes."""
        return hmac.digest(self._key, purpose + b"\0" + secret.encode(), "sha256")
