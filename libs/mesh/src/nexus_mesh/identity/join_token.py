"""The text of a join token: where to join, the SHA-256 of the root to expect there, and a secret that works once."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from nexus_mesh.identity.spiffe import role_server_name

__all__ = ["LONGEST", "SECRET_BYTES", "JoinToken"]

PREFIX = "nxj_"
VERSION = 2
LONGEST = 200
SECRET_BYTES = 24
ROOT_BYTES = hashlib.sha256().digest_size
CHECK_BYTES = 4
USUAL_DOMAIN = "nexus.internal"
SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """`root_sha256` pins the mesh's root certificate (of its DER); `secret`: SECRET_BYTES random bytes, base64url."""

    address: str
    trust_domain: str
    root_sha256: bytes
    secret: str

    @property
    def server_name(self) -> str:
        """The DNS name the vault's certificate must carry."""
        return role_server_name("vault", self.trust_domain)

    def encode(self) -> str:
        """At most LONGEST characters. Raises ValueError when the address is too long for that."""
        domain = "" if self.trust_domain == USUAL_DOMAIN else SEPARATOR + self.trust_domain
        secret = base64.urlsafe_b64decode(self.secret)
        body = bytes([VERSION]) + self.root_sha256 + secret + (self.address + domain).encode()
        text = PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")
        if len(text) > LONGEST:
            raise ValueError(f"{self.address} is too long an address for a join token")
        return text

    @classmethod
    def decode(cls, text: str) -> JoinToken:
        """Raises ValueError when the text is not a whole join token."""
        text = text.strip()
        if not text.startswith(PREFIX):
            raise ValueError(f"a join token starts with {PREFIX}")
        encoded = text.removeprefix(PREFIX)
        try:
            whole = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _damaged() from None
        if whole.startswith(b"["):
            raise ValueError("the join token is of an older version of NEXUS: update the control host")
        body, check = whole[:-CHECK_BYTES], whole[-CHECK_BYTES:]
        if len(text) > LONGEST or check != _check(body) or body[0] != VERSION:
            raise _damaged()
        return cls._read(body[1:])

    @classmethod
    def _read(cls, fields: bytes) -> JoinToken:
        root, rest = fields[:ROOT_BYTES], fields[ROOT_BYTES:]
        secret, where = rest[:SECRET_BYTES], rest[SECRET_BYTES:]
        try:
            address, _, domain = where.decode().partition(SEPARATOR)
        except UnicodeDecodeError:
            raise _damaged() from None
        if not address:
            raise _damaged()
        return cls(address, domain or USUAL_DOMAIN, root, base64.urlsafe_b64encode(secret).decode())

    def __repr__(self) -> str:
        return f"JoinToken(address={self.address!r}, secret=***)"


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK_BYTES]


def _damaged() -> ValueError:
    return ValueError("the join token is damaged: copy it again, whole")
