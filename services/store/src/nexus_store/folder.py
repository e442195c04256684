"""Contents as files of a folder: `<tenant>/<ab>/<sha256>`, each there whole or not at all, whatever is killed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nexus_mesh.core import private_folder

from nexus_store.contents import Address

__all__ = ["Folder", "Spool", "folder_of"]


class Folder:
    """`root` is made when it is missing. One process at a time."""

    def __init__(self, root: Path) -> None:
        self._contents = root / "contents"
        self._parts = root / "parts"
        for folder in (self._contents, self._parts):
            private_folder(folder)
        _sync(root)
        self._durable: dict[Path, set[Path]] = {}
        """By tenant, folders certainly on the disk: one that is merely there may have been made just before a crash."""

    def part(self) -> Spool:
        return Spool(self)

    def open(self, address: Address, offset: int) -> _Reader:
        return _Reader(self.path(address), offset)

    def path(self, address: Address) -> Path:
        name = address.sha256.hex()
        return self.of(address.tenant) / name[:2] / name

    def of(self, tenant: str) -> Path:
        """A tenant's folder: named by a digest, for a tenant's id may have any character."""
        return self._contents / folder_of(tenant)

    def new_part(self) -> tuple[int, Path]:
        descriptor, name = tempfile.mkstemp(dir=self._parts)  # mode 0600
        return descriptor, Path(name)

    def make_way(self, path: Path) -> None:
        """The folders above it, durable."""
        home = path.parent.parent
        durable = self._durable.setdefault(home, set())
        for folder in (home, path.parent):
            if folder not in durable:
                folder.mkdir(mode=0o700, exist_ok=True)
                _sync(folder.parent)
                durable.add(folder)

    def remove(self, address: Address) -> None:
        path = self.path(address)
        with suppress(FileNotFoundError):
            path.unlink()
            _sync(path.parent)

    def remove_tenant(self, tenant: str) -> None:
        home = self.of(tenant)
        self._durable.pop(home, None)
        with suppress(FileNotFoundError):
            shutil.rmtree(home)
        _sync(self._contents)

    def forget_parts(self) -> None:
        """What was on its way in when a process was killed."""
        for part in self._parts.iterdir():
            part.unlink()

    def keep_only(self, known: Iterable[Address]) -> int:
        self.forget_parts()
        kept = {self.path(address) for address in known}
        stray = [path for path in self._contents.glob("*/*/*") if path not in kept]
        for path in stray:
            path.unlink()
            _sync(path.parent)
        return len(stray)


def folder_of(tenant: str) -> str:
    """The name of a tenant's folder."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


class Spool:
    """A file on its way in. `path`: where it lies meanwhile."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._descriptor, self.path = folder.new_part()
        self._file = os.fdopen(self._descriptor, "wb", buffering=0)

    def write(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def keep(self, address: Address) -> None:
        os.fsync(self._descriptor)
        path = self._folder.path(address)
        self._folder.make_way(path)
        self.path.replace(path)
        _sync(path.parent)
        self._file.close()

    def drop(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink()


class _Reader:
    def __init__(self, path: Path, offset: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(offset)

    def read(self, length: int) -> bytes:
        return self._file.read(length)

    def close(self) -> None:
        self._file.close()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
