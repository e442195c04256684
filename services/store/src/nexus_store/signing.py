"""Links that let whoever has one read one file for a while, without a key of his own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from nexus_mesh.core import MeshError, Reason, create_private

__all__ = ["LONGEST", "Link", "Signer"]

LONGEST = 7 * 86_400
"""Seconds a link lives at most."""
PREFIX = "/v1/store/"
KEY_BYTES = 32
FIELDS = ("tenant", "expires", "signature")
LONGEST_TEXT = 2048


@dataclass(frozen=True, slots=True)
class Link:
    """What a good link lets its holder read."""

    tenant: str
    id: str


class Signer:
    """`key` is the store's own, 32 bytes; whoever has it can read every file by a link of his own."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key

    @classmethod
    def of(cls, path: Path) -> Signer:
        """With the key of that file, which is made when it is missing. Raises OSError, ValueError."""
        with suppress(FileExistsError):
            create_private(path, secrets.token_bytes(KEY_BYTES))
        return cls(path.read_bytes())

    def sign(self, link: Link, now: float, seconds: int) -> str:
        """Path and query of a link that is good for so many seconds. Raises INVALID_REQUEST."""
        if not 1 <= seconds <= LONGEST:
            raise MeshError(Reason.INVALID_REQUEST, f"A link lives 1 to {LONGEST} seconds.")
        expires = int(now) + seconds
        query = {"tenant": link.tenant, "expires": expires, "signature": self._signature(link, expires)}
        return f"{PREFIX}{quote(link.id, safe='')}?{urlencode(query)}"

    def verify(self, url: str, now: float) -> Link:
        """Path and query, with or without what stands before. Raises CALLER_KEY, the same for all that is wrong."""
        if len(url) > LONGEST_TEXT:
            raise _refused()
        try:
            parts = urlsplit(url)
            query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=3)
        except ValueError:
            raise _refused() from None
        fields = dict(query)
        expires, object_id = fields.get("expires", ""), unquote(parts.path.removeprefix(PREFIX))
        if len(query) != len(FIELDS) or set(fields) != set(FIELDS) or not parts.path.startswith(PREFIX):
            raise _refused()
        if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
            raise _refused()
        link = Link(fields["tenant"], object_id)
        good = hmac.compare_digest(self._signature(link, int(expires)).encode(), fields["signature"].encode())
        if not good or int(expires) <= now:
            raise _refused()
        return link

    def _signature(self, link: Link, expires: int) -> str:
        # Lengths before the texts: no two links have the same bytes.
        texts = [PREFIX.encode(), link.id.encode(), link.tenant.encode(), str(expires).encode()]
        message = b"".join(len(text).to_bytes(4) + text for text in texts)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _refused() -> MeshError:
    return MeshError(
        Reason.CALLER_KEY, "This link is not one of this store's, or its time is over: ask for another."
    )
