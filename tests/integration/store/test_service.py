"""The store over mutual TLS: what goes in comes out, whole or by ranges, and what is cut off or wrong is not kept."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.store.v1 import store_pb2 as pb
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Peer
from nexus_store.app import open_store
from nexus_store.config import StoreSettings
from support.ca import MeshCA
from support.control_plane import serving, settings_of
from support.store_client import PUT, StoreClient, files, pieces, steps
from support.waiting import eventually

DATA = random.Random(1).randbytes(3_000_001)


class Behind:
    """A store behind the mesh, and who calls it."""

    def __init__(self, address: str, home: Path, ca: MeshCA, stack: AsyncExitStack) -> None:
        self.home = home
        self._address = address
        self._ca = ca
        self._stack = stack

    def client(self, role: str = "gateway") -> StoreClient:
        identity = self._ca.identity(role)
        peer = Peer(self._address, role_server_name("store", "nexus.internal"), identity)
        self._stack.push_async_callback(peer.close)
        return StoreClient(peer, identity)


@pytest_asyncio.fixture
async def behind(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[Behind]:
    settings = settings_of(
        StoreSettings, home=tmp_path, port=0, max_object_bytes=8 << 20, quota_bytes=20 << 20, quota_objects=50
    )
    mesh = Mesh(settings, mesh_ca.identity("store"))
    async with serving(mesh, open_store) as address, AsyncExitStack() as stack:
        yield Behind(address, tmp_path, mesh_ca, stack)


@pytest.fixture
def client(behind: Behind) -> StoreClient:
    return behind.client()


async def test_what_goes_in_comes_out(client: StoreClient) -> None:
    expires = Timestamp(seconds=int(time.time()) + 3600)
    about: dict[str, Any] = {"filename": "a/ä.png", "mime_type": "image/png", "expire_time": expires}
    kept = await client.put(DATA, **about)
    assert (kept.filename, kept.mime_type, kept.purpose) == ("a/ä.png", "image/png", "image")
    assert (kept.size, kept.sha256) == (len(DATA), hashlib.sha256(DATA).digest())
    assert kept.expire_time == expires
    assert await client.describe(kept.id) == kept
    begin, data = await client.get(kept.id)
    assert begin.object == kept
    assert begin.length == len(DATA)
    assert data == DATA


async def test_an_empty_file_is_one(client: StoreClient) -> None:
    kept = await client.put(b"")
    assert await client.get(kept.id) == (pb.GetBegin(object=kept), b"")


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (0, None),
        (1, 2_999_999),
        (1 << 20, 1 << 20),
        (3_000_000, 1),
        (3_000_001, None),
        (2_999_990, 1 << 40),
    ],
)
async def test_ranges(client: StoreClient, offset: int, length: int | None) -> None:
    kept = await client.put(DATA)
    wanted = DATA[offset : None if length is None else offset + length]
    begin, data = await client.get(kept.id, offset=offset, length=length)
    assert data == wanted
    assert begin.length == len(wanted)


@pytest.mark.parametrize("what", [{"offset": 3_000_002}, {"length": 0}, {"offset": 2**63}])
async def test_a_range_that_is_none(client: StoreClient, what: dict[str, int]) -> None:
    kept = await client.put(DATA)
    with pytest.raises(MeshError) as refused:
        await client.get(kept.id, offset=what.get("offset", 0), length=what.get("length"))
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert refused.value.metadata["param"] == next(iter(what))


def start(**about: object) -> pb.PutRequest:
    return steps(b"", **about)[0]


def chunk(data: bytes) -> pb.PutRequest:
    return pb.PutRequest(chunk=data)


def end(size: int, sha256: bytes = b"") -> pb.PutRequest:
    return pb.PutRequest(end=pb.PutEnd(size=size, sha256=sha256))


PAST = Timestamp(seconds=1)
WRONG: dict[str, tuple[list[pb.PutRequest], Reason]] = {
    "nothing": ([], Reason.INVALID_REQUEST),
    "no start": ([chunk(b"x"), end(1)], Reason.INVALID_REQUEST),
    "an empty message": ([pb.PutRequest(), end(0)], Reason.INVALID_REQUEST),
    "no end": ([start(), chunk(b"x")], Reason.INVALID_REQUEST),
    "only a start": ([start()], Reason.INVALID_REQUEST),
    "two starts": ([start(), start(), end(0)], Reason.INVALID_REQUEST),
    "bytes lost": ([start(), chunk(b"x"), end(2)], Reason.INVALID_REQUEST),
    "bytes changed": ([start(), chunk(b"x"), end(1, bytes(32))], Reason.INVALID_REQUEST),
    "half a digest": ([start(), chunk(b"x"), end(1, bytes(31))], Reason.INVALID_REQUEST),
    "a large chunk": ([start(), chunk(bytes(65_537)), end(65_537)], Reason.INVALID_REQUEST),
    "no tenant": ([start(tenant=""), end(0)], Reason.INVALID_REQUEST),
    "a long tenant": ([start(tenant="t" * 256), end(0)], Reason.INVALID_REQUEST),
    "a tenant with NUL": ([start(tenant="t\0"), end(0)], Reason.INVALID_REQUEST),
    "no purpose": ([start(purpose=""), end(0)], Reason.INVALID_REQUEST),
    "a path as purpose": ([start(purpose="../x"), end(0)], Reason.INVALID_REQUEST),
    "a name with a newline": ([start(filename="a\nb"), end(0)], Reason.INVALID_REQUEST),
    "expired": ([start(expire_time=PAST), end(0)], Reason.INVALID_REQUEST),
    "announced too large": ([start(size=(8 << 20) + 1)], Reason.REQUEST_TOO_LARGE),
    "too large": ([start(), *map(chunk, pieces(bytes((8 << 20) + 1)))], Reason.REQUEST_TOO_LARGE),
    "another zone": ([start(zone="restricted"), end(0)], Reason.PRIVACY_ZONE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_refused_and_not_kept(behind: Behind, client: StoreClient, name: str) -> None:
    requests, reason = WRONG[name]
    with pytest.raises(MeshError) as refused:
        await client.send(requests)
    assert refused.value.reason is reason
    assert (await client.usage()).objects == 0
    assert not files(behind.home / "store")


async def test_a_store_takes_what_must_stay_in_its_zone(client: StoreClient) -> None:
    assert (await client.put(b"x", zone="default")).id


async def test_a_caller_that_leaves_leaves_nothing(behind: Behind, client: StoreClient) -> None:
    async with client.peer.bidi(PUT) as (call, _):
        for request in steps(DATA)[:-1]:
            await call.write(request)
        await eventually(lambda: bool(files(behind.home / "store")), 20, "the part")
    await eventually(lambda: not files(behind.home / "store"), 20, "its removal")
    assert (await client.usage()).objects == 0


async def test_pages_newest_first(client: StoreClient) -> None:
    for number in range(7):
        await client.put(b"x", filename=str(number), purpose="even" if number % 2 == 0 else "odd")
    await client.put(b"x", tenant="t2")
    names, token = list[str](), ""
    while True:
        page = await client.page(size=3, token=token)
        names += [one.filename for one in page.objects]
        token = page.next_page_token
        if not token:
            break
    assert names == ["6", "5", "4", "3", "2", "1", "0"]
    odd = await client.page(purpose="odd")
    assert [one.filename for one in odd.objects] == ["5", "3", "1"]
    first = await client.page(size=3)
    with pytest.raises(MeshError) as refused:
        await client.page("t2", size=3, token=first.next_page_token)
    assert refused.value.reason is Reason.INVALID_REQUEST


async def test_another_tenant_sees_nothing(behind: Behind, client: StoreClient) -> None:
    mine = await client.put(b"secret")
    for call in (client.describe(mine.id, "t2"), client.get(mine.id, "t2"), client.delete(mine.id, "t2")):
        with pytest.raises(MeshError) as refused:
            await call
        assert refused.value.reason is Reason.OBJECT_NOT_FOUND
    assert not (await client.page("t2")).objects
    await client.put(b"secret", tenant="t2")
    assert len(files(behind.home / "store")) == 2, "each its own bytes: no tenant can learn what another has"
    assert (await client.get(mine.id))[1] == b"secret"


async def test_usage_tells_limits(client: StoreClient) -> None:
    await client.put(b"abc")
    await client.put(b"abc")
    assert await client.usage() == pb.GetUsageResponse(
        objects=2, bytes=6, objects_limit=50, bytes_limit=20 << 20
    )


async def test_an_operator_erases_and_reads_nothing(behind: Behind, client: StoreClient) -> None:
    kept = await client.put(b"mine")
    other = await client.put(b"theirs", tenant="t2")
    operator = behind.client("operator")
    for call in (operator.get(kept.id), operator.describe(kept.id), operator.page(), operator.put(b"x")):
        with pytest.raises(MeshError) as refused:
            await call
        assert refused.value.reason is Reason.MESH_POLICY
    assert (await operator.usage()).objects == 1
    assert await operator.erase() == 1
    assert await operator.erase() == 0
    assert (await client.get(other.id, "t2"))[1] == b"theirs"
    with pytest.raises(MeshError):
        await client.describe(kept.id)


@pytest.mark.parametrize("role", ["adapter", "router", "registry", "vault", "client", "store"])
async def test_nobody_else_may_call(behind: Behind, role: str) -> None:
    client = behind.client(role)
    calls = (client.put(b"x"), client.get("a"), client.describe("a"), client.page(), client.delete("a"))
    answers = await asyncio.gather(*calls, client.erase(), client.usage(), return_exceptions=True)
    assert [getattr(answer, "reason", answer) for answer in answers] == [Reason.MESH_POLICY] * 7


async def test_a_gateway_erases_nobody(client: StoreClient) -> None:
    with pytest.raises(MeshError) as refused:
        await client.erase()
    assert refused.value.reason is Reason.MESH_POLICY
