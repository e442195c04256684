"""The only way in for files from elsewhere: resumed where it was left, held to its hash, and never led astray.

A file grows under its own name with `.part` behind it, and is whole once it has that name no longer. What is there
survives the process, so that a fetch that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import ipaddress
import os
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from nexus_mesh.core import MeshError, Reason
from yarl import URL

from nexus_inference_adapters.contract import Patience, Progress

__all__ = ["Remote", "claimed", "fetch", "follows", "is_public", "read"]

REDIRECTS = 5
REDIRECT = frozenset({301, 302, 303, 307, 308})
TRIES = 6
"""In a row of which none brought anything."""
PAUSE, MAX_PAUSE = 0.5, 60.0
BLOCK = 1024 * 1024
"""Bytes that are hashed and written together: at most so much is fetched again after a kill."""
SPARE = 256 * 1024 * 1024
"""Bytes of disk that a fetch leaves alone."""
MAX_PAGE = 64 * 1024 * 1024
"""Bytes: the page of a project with thousands of files has a few of these millions."""
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
RANGE = re.compile(r"bytes (\d+)-\d+/")
REFUSALS = {
    401: "It wants a password or a token, and refused what it was given, if anything.",
    403: "It does not give this file out to you.",
    404: "It does not have this file.",
    407: "The proxy on the way wants a password.",
}


@dataclass(frozen=True, slots=True)
class Remote:
    """A file elsewhere. `size` in bytes. `authorization` is the header's value; it goes to the URL's origin alone."""

    url: URL
    sha256: str
    size: int
    authorization: str | None = field(default=None, repr=False)


class _Again(Exception):
    """It may go better soon, in `pause` seconds if the server said so."""

    def __init__(self, told: str, pause: float | None = None) -> None:
        super().__init__(told)
        self.pause = pause


async def fetch(
    session: aiohttp.ClientSession, remote: Remote, path: Path, patience: Patience
) -> AsyncGenerator[Progress, None]:
    """Brings the file to `path`; ends when it is there, whole and as its hash says.

    Raises UPSTREAM_ERROR for what the server refuses, for a wrong hash (nothing is kept then) and for a full disk,
    BACKEND_LOST for a server that keeps breaking off, and CONFLICT while somebody else fetches it.
    """
    with claimed(path.with_name(f"{path.name}.part")) as part:
        await patience.wait(asyncio.to_thread(part.take_up))
        _see_that_it_fits(path.parent, remote.size - part.size)
        failures = 0
        while part.size < remote.size:
            before = part.size
            try:
                async with aclosing(_go_on(session, remote, part, patience)) as steps:
                    async for step in steps:
                        yield step
            except (_Again, aiohttp.ClientError, OSError) as error:
                failures = 1 if part.size > before else failures + 1
                if failures > TRIES:
                    raise _lost(remote, error) from None
                yield Progress("waiting for the server", part.size, remote.size)
                await patience.wait(asyncio.sleep(_pause(error, failures)))
        part.deliver(remote, path)


async def _go_on(
    session: aiohttp.ClientSession, remote: Remote, part: _Part, patience: Patience
) -> AsyncGenerator[Progress, None]:
    headers = {"Range": f"bytes={part.size}-"} if part.size else {}
    async with _asked(session, remote.url, patience, headers, remote.authorization) as response:
        if response.status == 416 or (response.status == 206 and _start(response) != part.size):
            part.start_over()
            raise _Again("it has other bytes than it had", 0.0)
        if response.status == 200:
            part.start_over()  # it takes no ranges, and sends it all
        block = bytearray()
        while (arrived := await patience.wait(response.content.readany())) or block:
            block += arrived
            if part.size + len(block) > remote.size:
                part.drop()
                raise MeshError(
                    Reason.UPSTREAM_ERROR, f"{_name(remote)} is longer than it should be: nothing was kept."
                )
            if len(block) >= BLOCK or not arrived:
                await patience.wait(asyncio.to_thread(part.add, bytes(block)))
                block.clear()
                yield Progress("fetching", part.size, remote.size)
    if part.size < remote.size:
        raise _Again("it broke off")


async def read(
    session: aiohttp.ClientSession,
    url: URL,
    patience: Patience,
    headers: Mapping[str, str],
    authorization: str | None = None,
) -> tuple[str, bytes]:
    """The content type and the bytes of a page, at most MAX_PAGE of them. Raises as `fetch` does."""
    failures = 0
    while True:
        try:
            page = bytearray()
            async with _asked(session, url, patience, headers, authorization) as response:
                while arrived := await patience.wait(response.content.readany()):
                    page += arrived
                    if len(page) > MAX_PAGE:
                        raise MeshError(Reason.RESPONSE_TOO_LARGE, f"{url.host} sends a page without end.")
                return response.headers.get("Content-Type", ""), bytes(page)
        except (_Again, aiohttp.ClientError, OSError) as error:
            failures += 1
            if failures > TRIES:
                why = str(error) if isinstance(error, _Again) else "the connection breaks"
                raise MeshError(
                    Reason.UPSTREAM_ERROR, f"{url.host} could not be asked: {why}. Is this machine online?"
                ) from None
            await patience.wait(asyncio.sleep(_pause(error, failures)))


@asynccontextmanager
async def _asked(
    session: aiohttp.ClientSession,
    url: URL,
    patience: Patience,
    headers: Mapping[str, str],
    authorization: str | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a GET, after redirects. Its status is 200, 206 or 416; others raise as `fetch` does."""
    at = url
    for _ in range(REDIRECTS + 1):
        own = dict(headers)
        if authorization is not None and at.origin() == url.origin():
            own["Authorization"] = authorization
        response = await patience.wait(session.get(at, headers=own, allow_redirects=False))
        try:
            if response.status in REDIRECT:
                at = follows(url, at, response.headers.get("Location", ""))
                continue
            if response.status in BUSY:
                raise _Again(f"it answers with status {response.status}", _retry_after(response))
            if response.status not in (200, 206, 416):
                told = REFUSALS.get(response.status, f"It answers with status {response.status}.")
                raise MeshError(Reason.UPSTREAM_ERROR, f"{at.host} was asked for {at.name}. {told}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise MeshError(Reason.UPSTREAM_ERROR, f"{at.host} sends {at.name} in a form not asked for.")
            yield response
            return
        finally:
            response.close()
    raise MeshError(
        Reason.UPSTREAM_ERROR, f"{url.host} sends from one address to the next and never arrives."
    )


def follows(first: URL, at: URL, location: str) -> URL:
    """Where a redirect leads. Raises UPSTREAM_ERROR for places no file of the first address has reason to be at:

    plain HTTP after HTTPS, and this machine or this network after the wide world.
    """
    try:
        there = at.join(URL(location))
    except ValueError:
        there = URL()
    if there.scheme not in ("http", "https") or not there.host or there.user or there.password:
        raise MeshError(Reason.UPSTREAM_ERROR, f"{at.host} sends on to an address that is none.")
    if first.scheme == "https" and there.scheme != "https":
        raise MeshError(Reason.UPSTREAM_ERROR, f"{at.host} sends on to plain HTTP: this is not followed.")
    if _publicity(there.host) < _publicity(first.host or ""):
        raise MeshError(
            Reason.UPSTREAM_ERROR,
            f"{at.host} sends on to an address of this machine or network: not followed.",
        )
    return there


def is_public(address: str) -> bool:
    """Whether everybody can reach it, as far as its number tells."""
    return _publicity(address.partition("%")[0]) == 2


def _publicity(host: str) -> int:
    """How many can reach an address: 0 = this machine or the link, 1 = a private network, 2 = everybody."""
    if host == "localhost" or host.endswith(".localhost"):
        return 0
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return 2
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return 0
    return 2 if address.is_global else 1


class _Part:
    """What is there of a file, and the hash of it so far."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number
        self._hash = hashlib.sha256()
        self.size = 0

    def take_up(self) -> None:
        """Goes on from what an earlier fetch left."""
        os.lseek(self._number, 0, os.SEEK_SET)
        while block := os.read(self._number, BLOCK):
            self._hash.update(block)
            self.size += len(block)

    def add(self, block: bytes) -> None:
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._number, rest) :]
        except OSError as error:
            raise MeshError(
                Reason.UPSTREAM_ERROR, f"The model cannot be written to disk: {error.strerror}."
            ) from None
        self._hash.update(block)
        self.size += len(block)

    def start_over(self) -> None:
        os.ftruncate(self._number, 0)
        os.lseek(self._number, 0, os.SEEK_SET)
        self._hash, self.size = hashlib.sha256(), 0

    def drop(self) -> None:
        self.start_over()
        self._path.unlink(missing_ok=True)

    def deliver(self, remote: Remote, path: Path) -> None:
        """Gives it its own name if it is what was asked for; else nothing of it stays."""
        if self.size != remote.size or self._hash.hexdigest() != remote.sha256:
            self.drop()
            raise MeshError(
                Reason.UPSTREAM_ERROR,
                f"{_name(remote)} is not the file it should be: its SHA-256 is another. Nothing was kept. "
                "Pull it again; if it stays so, what serves it is damaged or has been tampered with.",
            )
        os.fsync(self._number)
        self._path.rename(path)


@contextmanager
def claimed(path: Path) -> Iterator[_Part]:
    """The part, for one at a time; the kernel lets go of it for whoever dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(number), path.stat())
        except (BlockingIOError, FileNotFoundError):
            ours = False  # held by another, or delivered between our opening and our claim
        if not ours:
            raise MeshError(Reason.CONFLICT, "This file is being fetched already: wait until that is done.")
        yield _Part(path, number)
    finally:
        os.close(number)


def _see_that_it_fits(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise MeshError(
            Reason.UPSTREAM_ERROR,
            f"The disk has {free // 10**6:,} MB left and {(size + SPARE) // 10**6:,} MB are needed: make room first.",
        )


def _start(response: aiohttp.ClientResponse) -> int:
    found = RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isdecimal() else None


def _pause(error: Exception, failures: int) -> float:
    told = error.pause if isinstance(error, _Again) else None
    return min(PAUSE * 2 ** (failures - 1) if told is None else told, MAX_PAUSE)


def _name(remote: Remote) -> str:
    return f"{remote.url.name} from {remote.url.host}"


def _lost(remote: Remote, error: Exception) -> MeshError:
    why = str(error) if isinstance(error, _Again) else "the connection breaks"
    return MeshError(
        Reason.BACKEND_LOST,
        f"{_name(remote)} did not come whole: {why}. What has come is kept: pull it again to go on.",
    )
