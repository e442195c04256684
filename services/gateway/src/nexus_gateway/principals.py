"""Whose request it is. Verdicts of the vault are kept, so that a warm gateway works while the vault is away."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from nexus_mesh.errors import MeshError, Reason

__all__ = ["ANONYMOUS", "Authenticator", "Principal"]

T = TypeVar("T")

KEPT = 10_000
KEPT_REFUSALS = 1_000
REFUSAL_SECONDS = 1.0
RETRY_AFTER = 2.0
LONGEST = 512


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `expires_at` in seconds since the epoch, None = never."""

    id: str
    name: str
    expires_at: float | None = None


ANONYMOUS = Principal("anonymous", "anonymous")


class Authenticator:
    """Tells whose an API key is. `verify` asks the vault: MeshError CALLER_KEY is its no, any other is no answer."""

    def __init__(
        self, verify: Callable[[str], Awaitable[Principal]], clock: Callable[[], float] = time.time
    ) -> None:
        self._verify = verify
        self._clock = clock
        # Keyed by a hash of the whole credential: a prefix would let one key stand for another.
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Principal]] = {}
        self._revoked: set[str] = set()

    async def authenticate(self, credential: str | None) -> Principal:
        """The key's principal. Raises CALLER_KEY, or AUTH_UNAVAILABLE when nobody can tell now."""
        if not credential:
            raise MeshError(
                Reason.CALLER_KEY,
                "This endpoint needs an API key. Send it as 'Authorization: Bearer nx_...'; "
                "`nexus keys create NAME` makes one.",
            )
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        principal = self._known.get(digest)
        if principal is None:
            if len(credential) > LONGEST or self._refused.get(digest, 0.0) > self._clock():
                raise _refusal()
            principal = await self._ask_once(digest, credential)
        else:
            self._known.move_to_end(digest)
        if principal.id in self._revoked or (principal.expires_at or self._clock() + 1) <= self._clock():
            self._known.pop(digest, None)
            raise _refusal()
        return principal

    def revoke(self, key_id: str) -> None:
        """The key with this id is never good again."""
        self._revoked.add(key_id)

    async def _ask_once(self, digest: bytes, credential: str) -> Principal:
        """Asks the vault, once for all who wait for the same key; one of them leaving does not stop it."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask(digest, credential))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)

    async def _ask(self, digest: bytes, credential: str) -> Principal:
        try:
            principal = await self._verify(credential)
        except MeshError as error:
            if error.reason is not Reason.CALLER_KEY:
                raise MeshError(
                    Reason.AUTH_UNAVAILABLE,
                    "API keys cannot be checked right now and this one was not used here before. Try again shortly.",
                    retry_after=RETRY_AFTER,
                ) from None
            _keep(self._refused, digest, self._clock() + REFUSAL_SECONDS, KEPT_REFUSALS)
            raise _refusal() from None
        finally:
            del self._asking[digest]
        _keep(self._known, digest, principal, KEPT)
        return principal


def _keep(kept: OrderedDict[bytes, T], digest: bytes, value: T, limit: int) -> None:
    kept[digest] = value
    kept.move_to_end(digest)
    while len(kept) > limit:
        kept.popitem(last=False)


def _refusal() -> MeshError:
    return MeshError(
        Reason.CALLER_KEY,
        "The API key is not valid: unknown, revoked or expired. Check it, or make one with `nexus keys create NAME`.",
    )
