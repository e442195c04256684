"""Which policy is in force, and how another one comes into force: checked, stored, told; one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_routing import Policy

from nexus_router.metrics import POLICY_REVISION
from nexus_router.policy.files import Record
from nexus_router.policy.store import PolicyStore, Revision

__all__ = ["Policies"]

COMMENT_LENGTH = 200

Choose = Callable[[], tuple[Policy | None, str]]
"""What is to be in force, None for nexus.toml, and the comment. Blocks."""

log = telemetry.logger("policy")


class Policies:
    """`changed` is called when another policy has come into force.

    Changes raise INVALID_REQUEST, CONFLICT (etag) or STORE_UNAVAILABLE, and then nothing has changed.
    """

    def __init__(self, store: PolicyStore) -> None:
        self.current = store.base
        self.changed: Callable[[], None] = lambda: None
        self._store = store
        self._problem = ""
        self._turn = asyncio.Lock()
        self._changing: set[asyncio.Task[Revision]] = set()

    @property
    def base(self) -> Revision:
        """What nexus.toml says."""
        return self._store.base

    async def open(self) -> None:
        """Puts the newest stored policy in force that can be used, else nexus.toml. Raises OSError."""
        self.current, self._problem = await asyncio.to_thread(self._store.newest)
        POLICY_REVISION.set(self.current.number)
        log.info("policy in force", revision=self.current.number)
        if self._problem:
            log.error("stored policy cannot be used", problem=self._problem)

    async def close(self) -> None:
        """Lets changes under way end."""
        await asyncio.gather(*self._changing, return_exceptions=True)

    async def get(self, number: int | None) -> Revision:
        """A revision, or the policy in force. Raises OBJECT_NOT_FOUND."""
        if number is None or number == self.current.number:
            return self.current
        return await asyncio.to_thread(self._store.revision, number)

    async def problem(self) -> str:
        """What is wrong with the stored policy; empty when nothing is."""
        return self._problem or await asyncio.to_thread(self._store.problem_of, self.current)

    async def history(self) -> list[tuple[int, Record | str]]:
        """What is kept, newest first: each number with its record, or with why that cannot be used."""
        return await asyncio.to_thread(self._store.history)

    async def check(self, json: str, etag: str, comment: str) -> Revision:
        """What `set` would put in force. An etag is not needed, but if there is one it must be right."""
        _check_comment(comment)
        if etag:
            self._check_etag(etag)
        return Revision(await asyncio.to_thread(self._store.check, json))

    async def set(self, json: str, etag: str, comment: str, author: str) -> Revision:
        """Puts a policy in force."""
        return await self._change(lambda: (self._store.check(json), comment), etag, comment, author)

    async def rollback(self, number: int | None, etag: str, comment: str, author: str) -> Revision:
        """Puts an earlier one in force again, None for the one before. Raises also OBJECT_NOT_FOUND."""

        def choose() -> tuple[Policy | None, str]:
            chosen = self._store.before(self.current.number) if number is None else number
            revision = self._store.revision(chosen)
            name = f"revision {chosen}" if chosen else "nexus.toml"
            return None if revision.of_file else revision.policy, comment or f"rollback to {name}"

        return await self._change(choose, etag, comment, author)

    async def reset(self, etag: str, comment: str, author: str) -> Revision:
        """Gives the word back to nexus.toml."""
        return await self._change(lambda: (None, comment or "reset to nexus.toml"), etag, comment, author)

    async def _change(self, choose: Choose, etag: str, comment: str, author: str) -> Revision:
        """A caller that gives up does not part what is stored from what is in force."""
        _check_comment(comment)
        task = asyncio.create_task(self._replace(choose, etag, author))
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return await asyncio.shield(task)

    async def _replace(self, choose: Choose, etag: str, author: str) -> Revision:
        async with self._turn:
            self._check_etag(etag)
            policy, comment = await asyncio.to_thread(choose)
            if policy is None and self.current.of_file:
                return self.current
            self.current = await asyncio.to_thread(self._store.add, policy, comment, author)
            self._problem = ""
            POLICY_REVISION.set(self.current.number)
            log.info("policy changed", revision=self.current.number, author=author)
            self.changed()
            return self.current

    def _check_etag(self, etag: str) -> None:
        if not etag:
            raise _invalid("etag", "is missing: GetPolicy gives that of the policy in force")
        if etag != self.current.etag:
            raise MeshError(
                Reason.CONFLICT,
                f"The policy has changed since it was read: now revision {self.current.number} is in force."
                " Look at it (`nexus policy show`), and try again.",
                metadata={"param": "etag"},
            )


def _check_comment(comment: str) -> None:
    if len(comment) > COMMENT_LENGTH or not comment.isprintable():
        raise _invalid("comment", f"must be one line of at most {COMMENT_LENGTH} characters")


def _invalid(param: str, problem: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{param} {problem}.", metadata={"param": param})
