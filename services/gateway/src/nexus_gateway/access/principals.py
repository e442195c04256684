"""Whose request it is. Verdicts of the vault are kept, so that a warm gateway works while the vault is away."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nexus_mesh.core import MeshError, Reason

from nexus_gateway.access.accounts import Account, Key, Principal, Tenant

__all__ = ["Authenticator"]

T = TypeVar("T")

KEPT = 10_000
KEPT_REFUSALS = 1_000
REFUSAL_SECONDS = 1.0
RETRY_AFTER = 2.0
LONGEST = 512


class Authenticator:
    """Tells whose an API key is. `verify` asks the vault: MeshError CALLER_KEY is its no, any other is no answer."""

    def __init__(
        self, verify: Callable[[str], Awaitable[Account]], clock: Callable[[], float] = time.time
    ) -> None:
        self._verify = verify
        self._clock = clock
        # Keyed by a hash of the whole credential: a prefix would let one key stand for another.
        self._known: OrderedDict[bytes, Account] = OrderedDict()
        self._digests: dict[str, bytes] = {}  # by key id, of those known
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Account]] = {}
        self._revoked: set[str] = set()
        self._changed: dict[tuple[type, str], Key | Tenant] = {}

    async def authenticate(self, credential: str | None) -> Principal:
        """The key's principal. Raises CALLER_KEY, or AUTH_UNAVAILABLE when nobody can tell now."""
        if not credential:
            raise MeshError(
                Reason.CALLER_KEY,
                "This endpoint needs an API key. Send it as 'Authorization: Bearer nx_...'; "
                "`nexus keys create NAME` makes one.",
            )
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        account = self._known.get(digest)
        if account is None:
            if len(credential) > LONGEST or self._refused.get(digest, 0.0) > self._clock():
                raise _refusal()
            account = await self._ask_once(digest, credential)
        else:
            self._known.move_to_end(digest)
        return self._valid(account.principal, digest)

    def again(self, principal: Principal) -> Principal:
        """Who a caller of a while ago is now. Raises CALLER_KEY when its key was revoked or expired meanwhile."""
        digest = self._digests.get(principal.id, b"")
        account = self._known.get(digest)
        return self._valid(principal if account is None else account.principal, digest)

    def revoke(self, key_id: str) -> None:
        """The key with this id is never good again."""
        self._revoked.add(key_id)

    def change(self, part: Key | Tenant) -> None:
        """A key or tenant is now so: what is known of it gives way, unless it is the later."""
        heard = self._changed.get((type(part), part.id))
        if heard is not None and heard.revision >= part.revision:
            return
        self._changed[type(part), part.id] = part
        for digest, account in self._known.items():
            self._known[digest] = account.told(part)

    def _valid(self, principal: Principal, digest: bytes) -> Principal:
        if principal.id in self._revoked or (principal.expires_at or self._clock() + 1) <= self._clock():
            self._known.pop(digest, None)
            self._digests.pop(principal.id, None)
            raise _refusal()
        return principal

    async def _ask_once(self, digest: bytes, credential: str) -> Account:
        """Asks the vault, once for all who wait for the same key; one of them leaving does not stop it."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.create_task(self._ask(digest, credential))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)

    async def _ask(self, digest: bytes, credential: str) -> Account:
        try:
            account = self._up_to_date(await self._verify(credential))
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
        self._digests[account.key.id] = digest
        for forgotten in _keep(self._known, digest, account, KEPT):
            self._digests.pop(forgotten.key.id, None)
        return account

    def _up_to_date(self, account: Account) -> Account:
        """An answer that a change has overtaken, after that change."""
        for mark in ((Key, account.key.id), (Tenant, account.tenant.id)):
            if mark in self._changed:
                account = account.told(self._changed[mark])
        return account


def _keep(kept: OrderedDict[bytes, T], digest: bytes, value: T, limit: int) -> list[T]:
    """Returns those it forgot for it."""
    kept[digest] = value
    kept.move_to_end(digest)
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - limit)]


def _refusal() -> MeshError:
    return MeshError(
        Reason.CALLER_KEY,
        "The API key is not valid: unknown, revoked or expired. Check it, or make one with `nexus keys create NAME`.",
    )
