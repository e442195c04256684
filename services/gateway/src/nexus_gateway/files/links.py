"""Links that let whoever has one read one file for a while: sealed, so that they tell nobody whose it is."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from nexus_mesh.core import MeshError, Reason

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

__all__ = ["LONGEST", "PATH", "Link", "Seal", "no_link"]

LONGEST = 7 * 86_400
"""Seconds a link lives at most."""
PATH = "/links/"
"""Below /v1."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{100,1600}={0,2}")


@dataclass(frozen=True, slots=True)
class Link:
    """What a good link lets its holder read. `expires`: seconds since 1970."""

    tenant: str
    id: str
    expires: int


class Seal:
    """`key`: the store's, 32 bytes. Made and checked without asking anybody."""

    def __init__(self, key: bytes) -> None:
        from cryptography.fernet import Fernet  # few gateways make links

        self._fernet: Fernet = Fernet(base64.urlsafe_b64encode(key))

    def sealed(self, link: Link) -> str:
        """The path of a link below /v1."""
        content = msgspec.json.encode((link.tenant, link.id, link.expires))
        return PATH + self._fernet.encrypt(content).decode()

    def opened(self, token: str, now: float) -> Link:
        """Raises OBJECT_NOT_FOUND, the same for all that is wrong."""
        from cryptography.fernet import InvalidToken

        if TOKEN.fullmatch(token) is None or not _is_canonical(token):
            raise no_link()
        try:
            found = msgspec.json.decode(self._fernet.decrypt(token), type=tuple[str, str, int])
        except (InvalidToken, msgspec.MsgspecError):
            raise no_link() from None
        link = Link(*found)
        if link.expires <= now:
            raise no_link()
        return link


def _is_canonical(token: str) -> bool:
    """Readers of base64 overlook bits and characters; a link has one spelling."""
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
    except ValueError:
        return False


def no_link() -> MeshError:
    return MeshError(
        Reason.OBJECT_NOT_FOUND,
        "There is nothing at this link: it is not whole, its time is over, or its file is gone.",
    )
