"""The text of a join token: where to join, which CA to expect there, and a secret that works once."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

__all__ = ["JoinToken"]

PREFIX = "nxj_"
FIELDS = ("address", "server_name", "root", "secret")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """`root` is the mesh's root certificate, DER: the token pins the CA by carrying it."""

    address: str
    server_name: str
    root: bytes
    secret: str

    def encode(self) -> str:
        values = [self.address, self.server_name, base64.b64encode(self.root).decode(), self.secret]
        return PREFIX + base64.urlsafe_b64encode(json.dumps([1, *values]).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> JoinToken:
        """Raises ValueError when the text is not a whole join token."""
        text = text.strip()
        if not text.startswith(PREFIX):
            raise ValueError(f"a join token starts with {PREFIX}")
        try:
            body = text.removeprefix(PREFIX)
            version, *values = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            address, server_name, root, secret = values
            decoded = base64.b64decode(root, validate=True)
        except (ValueError, TypeError):
            raise ValueError("the join token is damaged: copy it again, whole") from None
        if version != 1:
            raise ValueError("the join token is of another version of NEXUS: update the older side")
        return cls(address, server_name, decoded, secret)

    def __repr__(self) -> str:
        return f"JoinToken(address={self.address!r}, secret=***)"
