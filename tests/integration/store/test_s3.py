"""A store whose contents lie in a real S3 server: as in a folder, by ranges, through its end and its return."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import obstore
import pytest
from nexus_database import open_database
from nexus_mesh.core import ConfigError, MeshError, Reason
from nexus_mesh.identity import role_server_name
from nexus_mesh.process import Mesh
from nexus_mesh.rpc import Peer
from nexus_mesh.settings import load
from nexus_store.app import open_store
from nexus_store.config import S3Settings, StoreSettings
from nexus_store.contents import Address
from nexus_store.rows import SCHEMA
from nexus_store.s3 import S3, key
from nexus_store.store import Store
from nexus_store.types import Limits
from pydantic import ValidationError
from support.ca import MeshCA
from support.control_plane import serving
from support.seaweed import Seaweed
from support.store_client import TENANT, StoreClient, got, put

DATA = random.Random(1).randbytes(20_000_001)
"""Three parts."""


@asynccontextmanager
async def opened(folder: Path, settings: S3Settings) -> AsyncIterator[Store]:
    folder.mkdir(exist_ok=True)
    async with open_database(folder / "store.db", SCHEMA) as commits:
        store = Store(commits, S3(settings, folder), Limits(object_bytes=1 << 30))
        await store.open()
        yield store


@pytest.fixture
def settings(seaweed_of_run: Seaweed, tmp_path: Path) -> S3Settings:
    """A prefix of its own for each test."""
    return seaweed_of_run.settings(prefix=f"nexus/{tmp_path.name}")


def keys(server: Seaweed, settings: S3Settings) -> list[str]:
    return [one for one in server.there() if one.startswith(settings.prefix + "/")]


async def test_what_goes_in_comes_out_by_its_content(
    seaweed_of_run: Seaweed, settings: S3Settings, tmp_path: Path
) -> None:
    async with opened(tmp_path / "s", settings) as store:
        large, small, again, empty = [await put(store, data) for data in (DATA, b"small", b"small", b"")]
        theirs = await put(store, b"small", "t2")
        assert await got(store, large.id) == DATA
        assert await got(store, small.id) == await got(store, again.id) == b"small"
        assert await got(store, empty.id) == b""
        assert await got(store, theirs.id, "t2") == b"small"
        assert len(keys(seaweed_of_run, settings)) == 4
        for offset, length in [
            (0, 1),
            (19_999_990, None),
            (8 << 20, 1 << 20),
            (20_000_001, None),
            (5, 3_000_000),
        ]:
            outgoing = await store.get(TENANT, large.id, offset, length)
            wanted = DATA[offset : None if length is None else offset + length]
            assert b"".join([block async for block in outgoing.blocks()]) == wanted
        await store.delete(TENANT, small.id)
        assert await got(store, again.id) == b"small"
        await store.delete(TENANT, again.id)
        assert len(keys(seaweed_of_run, settings)) == 3
        assert await store.erase(TENANT) == 2
        assert keys(seaweed_of_run, settings) == [f"{settings.prefix}/{key(Address('t2', theirs.sha256))}"]
    assert not list((tmp_path / "s" / "parts").iterdir())


async def test_what_a_killed_process_left_goes_at_the_next_start(
    seaweed_of_run: Seaweed, settings: S3Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    async with opened(folder, settings) as store:
        kept = await put(store, b"kept")
    stray = key(Address(TENANT, bytes(32)))
    obstore.put(seaweed_of_run.store(), f"{settings.prefix}/{stray}", b"stray")
    (folder / "parts" / "cut").write_bytes(b"cut")
    (folder / "contents" / "of-a-folder").write_bytes(b"kept before there was an object storage")
    async with opened(folder, settings) as store:
        assert await got(store, kept.id) == b"kept"
        assert len(keys(seaweed_of_run, settings)) == 1
    assert not list((folder / "parts").iterdir())
    assert (folder / "contents" / "of-a-folder").exists()


async def test_bytes_that_are_lost_there_are_told(
    seaweed_of_run: Seaweed, settings: S3Settings, tmp_path: Path
) -> None:
    async with opened(tmp_path / "s", settings) as store:
        kept = await put(store, b"kept")
        (there,) = keys(seaweed_of_run, settings)
        obstore.put(seaweed_of_run.store(), there, b"else")
        with pytest.raises(MeshError) as changed:
            await got(store, kept.id)
        obstore.delete(seaweed_of_run.store(), there)
        with pytest.raises(MeshError) as lost:
            await got(store, kept.id)
    assert changed.value.reason is lost.value.reason is Reason.INTERNAL


async def test_a_storage_that_ends_or_is_full_loses_nothing_and_is_told(
    own_seaweed: Seaweed, tmp_path: Path
) -> None:
    own_seaweed.start()
    async with opened(tmp_path / "s", own_seaweed.settings()) as store:
        kept = await put(store, DATA)
        own_seaweed.kill()
        for call in (put(store, b"new"), got(store, kept.id)):
            with pytest.raises(MeshError) as away:
                await call
            assert away.value.reason is Reason.STORE_UNAVAILABLE
            assert "object storage" in away.value.message
        own_seaweed.start(full=True)
        with pytest.raises(MeshError) as full:
            await put(store, b"new")
        assert full.value.reason is Reason.STORE_UNAVAILABLE
        assert await got(store, kept.id) == DATA, "what was acknowledged can be read meanwhile"
        own_seaweed.kill()
        own_seaweed.start()
        assert await got(store, (await put(store, b"new")).id) == b"new"
        assert (await store.usage(TENANT)).objects == 2
    assert not list((tmp_path / "s" / "parts").iterdir())


async def test_a_store_of_the_mesh_is_told_of_it_in_its_file(
    seaweed_of_run: Seaweed, settings: S3Settings, tmp_path: Path, mesh_ca: MeshCA
) -> None:
    told = ", ".join(f'{name} = "{value}"' for name, value in settings.model_dump().items())
    (tmp_path / "nexus.toml").write_text(f"[store]\nport = 0\ns3 = {{ {told} }}\n")
    loaded = load(StoreSettings, ["--home", str(tmp_path)])
    async with serving(Mesh(loaded, mesh_ca.identity("store")), open_store) as address:
        identity = mesh_ca.identity("gateway")
        peer = Peer(address, role_server_name("store", "nexus.internal"), identity)
        client = StoreClient(peer, identity)
        kept = await client.put(DATA)
        assert (await client.get(kept.id, offset=9_000_000))[1] == DATA[9_000_000:]
        assert keys(seaweed_of_run, settings) == [f"{settings.prefix}/{key(Address(TENANT, kept.sha256))}"]
        await peer.close()


@pytest.mark.security
async def test_a_wrong_key_is_told_and_shown_to_nobody(
    seaweed_of_run: Seaweed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MeshError) as refused:
        async with opened(tmp_path / "s", seaweed_of_run.settings("another-secret")):
            pass
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "key" in refused.value.message
    told = refused.value.message + "".join(capsys.readouterr())
    assert "another-secret" not in told
    assert "AKIAEXAMPLE" not in told
    with pytest.raises(MeshError, match="no bucket"):
        async with opened(tmp_path / "s", seaweed_of_run.settings(bucket="not-there")):
            pass
    gone = seaweed_of_run.settings()
    gone.secret_key_file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        S3(gone, tmp_path)
    for endpoint in ("s3.example", "ftp://s3.example", "https://key:secret@s3.example"):
        with pytest.raises(ValidationError):
            seaweed_of_run.settings(endpoint=endpoint)
