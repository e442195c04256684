"""Long work over mutual TLS: run by a gateway for its tenant, its outputs kept whole, its failures told."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from nexus.inference.v1.inference_pb2_grpc import add_InferenceServiceServicer_to_server
from nexus.store.v1 import work_pb2 as pb
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Peer
from nexus_mesh.rpc.server import Servicer, start_server
from nexus_store.app import open_store
from nexus_store.config import StoreSettings
from support.ca import MeshCA
from support.control_plane import serving, settings_of
from support.scripted_control import Control, serve_control
from support.store_client import StoreClient, files
from support.waiting import eventually
from support.works import FILM, STILL, ScriptedGateway, WorkClient


class Behind:
    """A store behind the mesh, the gateway it asks, and gateways that ask it."""

    def __init__(self, home: Path, ca: MeshCA, control: Control, stack: AsyncExitStack) -> None:
        self.home = home
        self.ca = ca
        self.control = control
        self.gateway = ScriptedGateway()
        self.address = ""
        self._stack = stack

    async def open(self, **settings: Any) -> None:
        servicer = Servicer(self.gateway, add_InferenceServiceServicer_to_server)
        server = await start_server(
            [servicer], host="127.0.0.1", port=0, identity=self.ca.identity("gateway"), denied=set()
        )
        self._stack.push_async_callback(server.drain, settle=0, grace=0)
        self.control.registry.members["gateway"] = [f"127.0.0.1:{server.port}"]
        registry = f"127.0.0.1:{self.control.ports['registry']}"
        told = settings_of(StoreSettings, home=self.home, port=0, registry=registry, **settings)
        mesh = Mesh(told, self.ca.identity("store"))
        self.address = await self._stack.enter_async_context(serving(mesh, open_store))

    def peer(self) -> Peer:
        identity = self.ca.identity("gateway")
        peer = Peer(self.address, role_server_name("store", "nexus.internal"), identity)
        self._stack.push_async_callback(peer.close)
        return peer

    def client(self, tenant: str = "t1") -> WorkClient:
        return WorkClient(self.peer(), tenant)

    def objects(self) -> StoreClient:
        return StoreClient(self.peer(), self.ca.identity("gateway"))


@pytest_asyncio.fixture
async def unopened(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[Behind]:
    async with serve_control(mesh_ca) as control, AsyncExitStack() as stack:
        yield Behind(tmp_path, mesh_ca, control, stack)


@pytest_asyncio.fixture
async def behind(unopened: Behind) -> Behind:
    await unopened.open()
    return unopened


async def test_it_is_run_for_its_tenant_and_what_came_of_it_is_kept(behind: Behind) -> None:
    client = behind.client()
    taken = await client.submit(note="a note")
    assert taken.state in (pb.WORK_STATE_QUEUED, pb.WORK_STATE_RUNNING)
    assert not taken.HasField("finish_time")
    done = await client.ended(taken.id)
    assert (done.state, done.percent, done.attempt, done.note) == (pb.WORK_STATE_SUCCEEDED, 100, 1, "a note")
    assert done.expire_time.seconds - done.finish_time.seconds == 604_800
    assert (done.result.served.backend, done.result.usage.output_seconds) == ("box", 4)
    still, film = done.result.outputs
    assert (still.preview, still.mime_type, json.loads(still.json)) == (
        0,
        "image/webp",
        {"variant": "thumbnail"},
    )
    assert (film.HasField("preview"), film.mime_type, film.size) == (False, "video/mp4", len(FILM))
    assert (await behind.objects().get(film.object_id))[1] == FILM
    assert (await behind.objects().get(still.object_id))[1] == STILL
    [asked] = behind.gateway.seen
    assert (asked.on_behalf_of, asked.model, json.loads(asked.body)["prompt"]) == ("t1", "m", "a lake")
    assert await client.get(taken.id) == done


async def test_said_again_it_is_the_same_and_other_work_is_refused(behind: Behind) -> None:
    client, work_id = behind.client(), secrets.token_hex(16)
    await client.submit(id=work_id)
    await client.submit(id=work_id)
    with pytest.raises(MeshError) as refused:
        await client.submit("something else", id=work_id)
    assert refused.value.reason is Reason.CONFLICT
    await client.ended(work_id)
    assert len(behind.gateway.seen) == 1


async def test_what_another_tenant_has_is_not_there(behind: Behind) -> None:
    work_id = (await behind.client().submit()).id
    other = behind.client("t2")
    for call in (other.get, other.cancel, other.delete, other.watch):
        with pytest.raises(MeshError) as unknown:
            await call(work_id)
        assert unknown.value.reason is Reason.OBJECT_NOT_FOUND
    assert not (await other.page()).works
    with pytest.raises(MeshError) as unknown:
        await other.page(after=work_id)
    assert unknown.value.reason is Reason.OBJECT_NOT_FOUND


async def test_progress_is_told_as_it_comes(behind: Behind) -> None:
    behind.gateway.script = ["hold"]
    client = behind.client()
    work_id = (await client.submit()).id

    async def half() -> bool:
        work = await client.get(work_id)
        return (work.state, work.percent) == (pb.WORK_STATE_RUNNING, 50)

    await eventually(half, what="half of it")
    behind.gateway.let_go()
    told = await client.watch(work_id)
    assert [work.state for work in told][-1] == pb.WORK_STATE_SUCCEEDED
    assert [work.percent for work in told] == sorted(work.percent for work in told)


FAILED = MeshError(Reason.UPSTREAM_ERROR, "The engine says no.")
LOST = MeshError(Reason.BACKEND_LOST, "The engine went away.")


async def test_a_failure_is_told_and_nothing_is_kept(behind: Behind) -> None:
    behind.gateway.script = [FAILED]
    client = behind.client()
    done = await client.ended((await client.submit()).id)
    assert (done.state, done.error.reason) == (pb.WORK_STATE_FAILED, "UPSTREAM_ERROR")
    assert "says no" in done.error.message
    assert not done.HasField("result")
    assert not files(behind.home / "store")


@pytest.mark.parametrize("first", [LOST, "half"])
async def test_a_lost_engine_is_a_retry_and_half_an_answer_is_never_kept(
    behind: Behind, first: str | MeshError
) -> None:
    """An answer that ends in the middle breaks its contract: no other attempt would mend that."""
    behind.gateway.script = [first, "ok"]
    client = behind.client()
    done = await client.ended((await client.submit()).id)
    if first is LOST:
        assert (done.state, done.attempt) == (pb.WORK_STATE_SUCCEEDED, 2)
        assert len(files(behind.home / "store")) == 2
    else:
        assert (done.state, done.error.reason) == (pb.WORK_STATE_FAILED, "UPSTREAM_MALFORMED")
        assert not files(behind.home / "store")


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_who_stops_it_frees_the_backend(behind: Behind, how: str) -> None:
    behind.gateway.script = ["hold"]
    client = behind.client()
    work_id = (await client.submit()).id
    await eventually(lambda: behind.gateway.running, what="the work running")
    await getattr(client, how)(work_id)
    await eventually(lambda: not behind.gateway.running, what="the backend being free")
    if how == "cancel":
        assert (await client.get(work_id)).state == pb.WORK_STATE_CANCELLED
    else:
        with pytest.raises(MeshError):
            await client.get(work_id)
    assert len(behind.gateway.seen) == 1


async def test_deleted_it_takes_along_what_came_of_it(behind: Behind) -> None:
    client, objects = behind.client(), behind.objects()
    reference = await objects.put(b"a picture", mime_type="image/png")
    file = pb.WorkFile(name="input_reference", object_id=reference.id)
    work_id = (await client.submit(files=[file])).id
    done = await client.ended(work_id)
    body = json.loads(behind.gateway.seen[0].body)
    encoded = base64.b64encode(b"a picture").decode()
    assert body["input_reference"] == {"image_url": f"data:image/png;base64,{encoded}"}
    await client.delete(work_id)
    for object_id in (reference.id, *(made.object_id for made in done.result.outputs)):
        with pytest.raises(MeshError):
            await objects.describe(object_id)
    assert not files(behind.home / "store")


async def test_a_list_is_newest_first_and_goes_on_behind_one(behind: Behind) -> None:
    client = behind.client()
    ids = [(await client.submit()).id for _ in range(5)]
    first = await client.page(page_size=2)
    assert [work.id for work in first.works] == ids[:2:-1]
    assert first.more
    rest = await client.page(after=ids[3], page_size=3)
    assert [work.id for work in rest.works] == ids[2::-1]
    assert not rest.more
    assert [work.id for work in (await client.page(oldest_first=True)).works] == ids


async def test_no_tenant_has_more_than_its_share_running(unopened: Behind) -> None:
    await unopened.open(work_slots=3, work_share=1)
    unopened.gateway.script = ["hold"]
    one, two = unopened.client(), unopened.client("t2")
    many = [(await one.submit()).id for _ in range(10)]
    await eventually(lambda: unopened.gateway.running == ["t1"], what="one running")
    few = (await two.submit()).id
    await eventually(lambda: unopened.gateway.running == ["t1", "t2"], what="the other's too")
    unopened.gateway.let_go(11)
    for client, work_id in ((two, few), *((one, each) for each in many)):
        assert (await client.ended(work_id)).state == pb.WORK_STATE_SUCCEEDED
    assert unopened.gateway.most == {"t1": 1, "t2": 1}
    assert len(unopened.gateway.seen) == 11


async def test_more_than_may_be_open_is_refused(unopened: Behind) -> None:
    await unopened.open(work_open=2)
    unopened.gateway.script = ["hold"]
    client = unopened.client()
    kept = [(await client.submit()).id for _ in range(2)]
    with pytest.raises(MeshError) as refused:
        await client.submit()
    assert refused.value.reason is Reason.RATE_LIMIT
    assert "work_open" in refused.value.message
    await client.delete(kept[0])
    await client.submit()


async def test_it_fails_when_its_time_is_over(behind: Behind) -> None:
    behind.gateway.script = ["hold"]
    client = behind.client()
    deadline = Timestamp(seconds=int(time.time()) + 2)
    done = await client.ended((await client.submit(deadline_time=deadline)).id)
    assert (done.state, done.error.reason in ("DEADLINE", "TIMEOUT")) == (pb.WORK_STATE_FAILED, True)
    await eventually(lambda: not behind.gateway.running, what="the backend being free")


async def test_what_is_over_goes_by_itself(unopened: Behind) -> None:
    await unopened.open(work_retention=1, sweep_interval=0.1)
    client = unopened.client()
    work_id = (await client.submit()).id
    await client.ended(work_id)

    async def gone() -> bool:
        return not (await client.page()).works and not files(unopened.home / "store")

    await eventually(gone, timeout=20, what="it being gone")


async def test_any_kind_of_work_can_be_long(behind: Behind) -> None:
    client, objects = behind.client(), behind.objects()
    sound = await objects.put(FILM, mime_type="audio/wav")
    file = pb.WorkFile(name="file", object_id=sound.id)
    body = json.dumps({"model": "m"})
    heard = await client.submit(operation=model_pb2.OPERATION_TRANSCRIPTION, body=body, files=[file])
    done = await client.ended(heard.id)
    assert json.loads(done.result.body) == {"text": "one"}
    assert behind.gateway.uploaded == [FILM]
    asked = json.dumps({"model": "m", "input": "x"})
    vector = await client.submit(operation=model_pb2.OPERATION_EMBEDDING, body=asked)
    assert json.loads((await client.ended(vector.id)).result.body) == {"object": "list"}


BROKEN: dict[str, dict[str, Any]] = {
    "id": {"id": "../etc"}, "operation": {"operation": 99}, "model": {"model": ""}, "body": {"body": ""},
    "files": {"files": [pb.WorkFile(name="", object_id="x")]}, "tenant": {},
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_no_work_is_refused(behind: Behind, what: str) -> None:
    client = behind.client("" if what == "tenant" else "t1")
    with pytest.raises(MeshError) as refused:
        await client.submit(**BROKEN[what])
    assert (refused.value.reason, refused.value.metadata["param"]) == (Reason.INVALID_REQUEST, what)


async def test_a_zone_is_held_by_the_store_and_told_to_the_gateway(behind: Behind) -> None:
    with pytest.raises(MeshError) as refused:
        await behind.client().submit(zone="home")
    assert refused.value.reason is Reason.PRIVACY_ZONE
    await behind.client().ended((await behind.client().submit(zone="default")).id)
    assert [asked.zone for asked in behind.gateway.seen] == ["default"]


async def test_it_is_kept_in_postgresql_too(unopened: Behind, postgres_url: str) -> None:
    await unopened.open(database_url=postgres_url)
    client = unopened.client()
    work_id = (await client.submit()).id
    assert (await client.ended(work_id)).state == pb.WORK_STATE_SUCCEEDED
    assert [work.id for work in (await client.page()).works] == [work_id]


async def test_what_takes_longer_than_it_may_is_not_tried_again(behind: Behind) -> None:
    behind.gateway.script = [MeshError(Reason.TIMEOUT, "It took too long.")]
    client = behind.client()
    done = await client.ended((await client.submit()).id)
    assert (done.state, done.error.reason, done.attempt) == (pb.WORK_STATE_FAILED, "TIMEOUT", 1)


async def test_without_a_gateway_it_waits(behind: Behind) -> None:
    there = behind.control.registry.members.pop("gateway")
    client = behind.client()
    work_id = (await client.submit()).id

    async def tried() -> bool:
        return (await client.get(work_id)).error.reason == "NOT_READY"

    await eventually(tried, what="an attempt without a gateway")
    behind.control.registry.members["gateway"] = there
    assert (await client.ended(work_id)).state == pb.WORK_STATE_SUCCEEDED
