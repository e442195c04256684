"""Contents in S3 or what speaks as it does: `<prefix>/contents/<tenant>/<ab>/<sha256>`, each there whole or not at all.

A file comes to the disk first, for its address is its digest, and goes up in parts when it has come whole: so nothing
that was cut off is ever begun there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_mesh.core import ConfigError

from nexus_store.contents import Address, Reader, StorageError
from nexus_store.folder import Folder, Spool, folder_of

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import S3Store

    from nexus_store.config import S3Settings

__all__ = ["S3"]

PART = 8 << 20
"""Bytes that go up in one request."""
AT_ONCE = 4
BLOCK = 1 << 20
CONNECT, REQUEST, DOWN = timedelta(seconds=5), timedelta(seconds=120), timedelta(hours=1)
RETRIES, RETRY = 3, timedelta(seconds=20)
CONTENTS = "contents"
DENIED = "does not accept the key that the store has, or does not let it do this"
CODES = {
    "NoSuchBucket": "has no bucket of that name",
    "SignatureDoesNotMatch": DENIED,
    "InvalidAccessKeyId": DENIED,
    "AccessDenied": DENIED,
}
"""Of S3's own, where the library has no class for them."""


class S3:
    """`root`: a folder for files on their way in. One store for each prefix of a bucket."""

    def __init__(self, settings: S3Settings, root: Path) -> None:
        """Raises ConfigError."""
        self._parts = Folder(root)
        self._store, self._down = (_opened(settings, limit) for limit in (REQUEST, DOWN))

    def part(self) -> _Part:
        return _Part(self._parts.part(), self._keep)

    def _keep(self, path: Path, address: Address) -> None:
        import obstore

        with _failing():
            obstore.put(self._store, key(address), path, chunk_size=PART, max_concurrency=AT_ONCE)

    def open(self, address: Address, offset: int) -> Reader:
        import obstore

        with _failing():
            size = obstore.head(self._store, key(address))["size"]
        return _Reader(self._down, address, offset, size)

    def remove(self, address: Address) -> None:
        self._delete([key(address)])

    def remove_tenant(self, tenant: str) -> None:
        self._delete(self._keys(f"{CONTENTS}/{folder_of(tenant)}"))

    def keep_only(self, known: Iterable[Address]) -> int:
        self._parts.forget_parts()
        kept = {key(address) for address in known}
        return self._delete(one for one in self._keys(CONTENTS) if one not in kept)

    def _keys(self, prefix: str) -> Iterator[str]:
        import obstore

        with _failing():
            for some in obstore.list(self._store, prefix):
                yield from (one["path"] for one in some)

    def _delete(self, keys: Iterable[str]) -> int:
        import obstore

        every = list(keys)
        for one in every:  # not all at once: few storages beside Amazon's own understand that alike
            with suppress(FileNotFoundError), _failing():
                obstore.delete(self._store, one)
        return len(every)


class _Part:
    """A file on its way in, on the disk."""

    def __init__(self, spool: Spool, keep: Callable[[Path, Address], None]) -> None:
        self._spool = spool
        self._keep = keep

    def write(self, data: bytes | bytearray) -> None:
        self._spool.write(data)

    def keep(self, address: Address) -> None:
        self._keep(self._spool.path, address)
        self._spool.drop()

    def drop(self) -> None:
        self._spool.drop()


class _Reader:
    """Asks for its bytes when they are wanted, from the offset on."""

    def __init__(self, store: S3Store, address: Address, offset: int, size: int) -> None:
        self._store = store
        self._key = key(address)
        self._offset = offset
        self._size = size
        self._stream: BytesStream | None = None
        self._held = b""

    def read(self, length: int) -> bytes:
        import obstore

        if self._offset >= self._size or not length:
            return b""
        with _failing():
            if self._stream is None:
                wanted = (self._offset, self._size)
                self._stream = obstore.get(self._store, self._key, options={"range": wanted}).stream(BLOCK)
            while not self._held:
                block = next(self._stream, None)
                if block is None:
                    return b""
                self._held = bytes(block)
        data, self._held = self._held[:length], self._held[length:]
        self._offset += len(data)
        return data

    def close(self) -> None:
        self._stream = None
        self._held = b""


def key(address: Address) -> str:
    name = address.sha256.hex()
    return f"{CONTENTS}/{folder_of(address.tenant)}/{name[:2]}/{name}"


def _opened(settings: S3Settings, limit: timedelta) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError:
        raise ConfigError([
            "store.s3 needs the package obstore, which is not here: `uv sync --inexact --only-group s3` in a checkout, "
            "or install it beside NEXUS"
        ]) from None  # fmt: skip
    return S3Store(
        settings.bucket,
        prefix=settings.prefix,
        config={
            "endpoint": settings.endpoint,
            "region": settings.region,
            "access_key_id": _secret(settings.access_key_file),
            "secret_access_key": _secret(settings.secret_key_file),
            "checksum_algorithm": "sha256",
        },
        client_options={
            "allow_http": settings.endpoint.startswith("http://"),
            "connect_timeout": CONNECT,
            "timeout": limit,
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY},
    )


def _secret(path: Path) -> str:
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError([f"store.s3: {path} cannot be read"]) from None
    if not found:
        raise ConfigError([f"store.s3: {path} is empty"])
    return found


@contextmanager
def _failing() -> Iterator[None]:
    """What the library raises as an OSError of ours: its own words quote requests."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise StorageError(DENIED) from None
    except (BaseError, ValueError, OSError) as error:
        told = str(error)
        why = next(
            (why for code, why in CODES.items() if code in told), "does not answer as it should, or is full"
        )
        raise StorageError(why) from None
