"""What only a tunnel can get wrong: calls held up by each other, a break that one call sees and another does not."""

from __future__ import annotations

import asyncio

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.mesh.v1 import tunnel_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.client import Method, Peer
from nexus_mesh.rpc.policy import POLICY
from nexus_mesh.rpc.server import start_server
from nexus_mesh.rpc.tunnel.client import OPEN
from nexus_mesh.rpc.tunnel.context import WINDOW
from support.ca import MeshCA
from support.contract import Rpc, rpcs
from support.echo_service import WAYS, complete, echo, peer_of, stream
from support.every_service import servicers
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

TUNNEL = WAYS["tunnel"]
SINGLE = [rpc for rpc in rpcs() if not rpc.client_streaming and rpc.path in POLICY]


@pytest.fixture
def ca() -> MeshCA:
    return MeshCA()


async def test_many_calls_share_one_tunnel_and_get_their_own_answers(ca: MeshCA) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        bodies = [f"{number}-" + "x" * (number * 700) for number in range(300)]
        answers = await asyncio.gather(
            *(peer.unary(TUNNEL.complete, complete(body=body), timeout=20) for body in bodies)
        )
        assert [answer.body for answer in answers] == bodies


async def test_a_caller_that_reads_nothing_holds_up_its_own_stream_only(ca: MeshCA) -> None:
    async with (
        echo(ca) as (server, servicer),
        peer_of(ca, server) as peer,
        peer.stream(TUNNEL.stream, stream("fast", "5000"), timeout=60) as slow,
    ):
        await eventually(lambda: servicer.yielded > WINDOW)
        async with peer.stream(TUNNEL.stream, stream(body="100"), timeout=60) as call:
            assert sum([1 async for _ in call]) == 101
        assert servicer.yielded <= WINDOW + 1, "the server ran ahead of a caller that took nothing"
        assert [message.chunks.json[0] async for message in slow if message.HasField("chunks")] == [
            str(number) for number in range(5000)
        ]


async def test_a_large_request_has_an_rpc_of_its_own(ca: MeshCA) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        body = "x" * 5_000_000
        assert (await peer.unary(TUNNEL.complete, complete(body=body), timeout=20)).body == body


async def test_an_answer_too_large_for_a_hop_costs_its_own_call_only(ca: MeshCA) -> None:
    async with (
        echo(ca) as (server, _),
        peer_of(ca, server) as peer,
        peer.stream(TUNNEL.stream, stream(body="50"), timeout=60) as call,
    ):
        with pytest.raises(MeshError) as raised:
            await peer.unary(TUNNEL.complete, complete("huge", str(21 * 1024 * 1024)), timeout=20)
        assert raised.value.reason is Reason.RESPONSE_TOO_LARGE
        assert sum([1 async for _ in call]) == 51


async def test_an_upload_is_no_call_for_a_tunnel_and_costs_the_others_nothing(ca: MeshCA) -> None:
    async with (
        echo(ca) as (server, _),
        peer_of(ca, server) as peer,
        peer.stream(TUNNEL.stream, stream(body="50"), timeout=60) as call,
    ):
        for method, reason in (
            (upload(tunnelled=True), Reason.MESH_POLICY),
            (upload(), Reason.CAPABILITY_MISSING),
        ):
            with pytest.raises(MeshError) as raised:
                async with peer.stream(method, inference_pb2.UploadRequest(), timeout=20) as refused:
                    await anext(aiter(refused))
            assert raised.value.reason is reason
            assert "Upload" in raised.value.message
        assert sum([1 async for _ in call]) == 51


def upload(*, tunnelled: bool = False) -> Method[inference_pb2.UploadRequest, inference_pb2.UploadResponse]:
    request, response = inference_pb2.UploadRequest, inference_pb2.UploadResponse
    return Method("nexus.inference.v1.InferenceService", "Upload", request, response, tunnelled=tunnelled)


async def test_a_broken_tunnel_leaves_no_task_behind(ca: MeshCA) -> None:
    async with (
        echo(ca) as (server, _),
        TcpProxy(f"127.0.0.1:{server.port}") as proxy,
        peer_of(ca, server, address=proxy.endpoint) as peer,
    ):
        await peer.unary(TUNNEL.complete, complete(body="x"), timeout=20)
        tasks = {task for task in asyncio.all_tasks() if task.get_name() in ("tunnel read", "tunnel write")}
        assert len(tasks) == 4
        proxy.cut()
        await eventually(lambda: all(task.done() for task in tasks), what="both ends of the tunnel over")


async def test_a_broken_tunnel_fails_all_its_calls_and_the_next_opens_another(ca: MeshCA) -> None:
    async with (
        echo(ca) as (server, servicer),
        TcpProxy(f"127.0.0.1:{server.port}") as proxy,
        peer_of(ca, server, address=proxy.endpoint) as peer,
    ):
        hanging = [
            asyncio.ensure_future(peer.unary(TUNNEL.complete, complete("hang"), timeout=60)) for _ in range(5)
        ]
        async with peer.stream(TUNNEL.stream, stream("hang", "1"), timeout=60) as call:
            received = aiter(call)
            assert (await anext(received)).chunks.json == ["0"]
            await eventually(lambda: servicer.hanging == 6)
            proxy.cut()
            with pytest.raises(MeshError) as raised:
                await anext(received)
        errors = [raised.value, *await asyncio.gather(*hanging, return_exceptions=True)]
        assert {type(error) for error in errors} == {MeshError}
        assert {error.metadata["transport"] for error in errors if isinstance(error, MeshError)} == {"1"}
        await eventually(lambda: servicer.cancelled == 6)
        proxy.join()

        async def answers() -> bool:
            """The channel calls itself ready for a moment after its connection is gone: what is called then fails."""
            try:
                return (await peer.unary(TUNNEL.complete, complete(body="again"), timeout=20)).body == "again"
            except MeshError:
                return False

        await eventually(answers, timeout=10)


async def test_a_tunnel_does_not_widen_the_policy(ca: MeshCA) -> None:
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity("adapter"), denied=set()
    )
    async with peer_of(ca, server) as peer:
        verdicts = {rpc.path: await _verdict(peer, rpc) for rpc in SINGLE}
    await server.drain(settle=0, grace=0)
    assert {path for path, verdict in verdicts.items() if verdict is Reason.MESH_POLICY} == {
        rpc.path for rpc in SINGLE if "gateway" not in POLICY[rpc.path]
    }
    assert set(verdicts.values()) == {None, Reason.MESH_POLICY}


async def test_a_tunnel_carries_neither_tunnels_nor_methods_that_are_not_there(ca: MeshCA) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        for path in (OPEN.path, "/nexus.mesh.v1.TunnelService/Close", ""):
            with pytest.raises(MeshError) as raised:
                await peer.unary(_named(path), complete(), timeout=5)
            assert raised.value.reason is Reason.MESH_POLICY


async def test_a_call_whose_number_was_used_ends_the_tunnel_that_said_so(ca: MeshCA) -> None:
    start = tunnel_pb2.Start(method=TUNNEL.complete.path, request=complete("hang").SerializeToString())
    twice = tunnel_pb2.OpenRequest(frames=[tunnel_pb2.CallerFrame(call=1, start=start)] * 2)
    async with echo(ca) as (server, servicer), peer_of(ca, server) as peer:
        with pytest.raises(MeshError) as raised:
            await _say(peer, twice)
        assert raised.value.reason is Reason.INVALID_REQUEST
        await eventually(lambda: servicer.cancelled == 1)


async def test_a_request_that_is_no_message_is_refused(ca: MeshCA) -> None:
    start = tunnel_pb2.Start(method=TUNNEL.complete.path, request=b"\xff\xff\xff")
    frames = tunnel_pb2.OpenRequest(frames=[tunnel_pb2.CallerFrame(call=1, start=start)])
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        (frame,) = (await _say(peer, frames)).frames
        assert b"INVALID_REQUEST" in frame.end


def _named(path: str) -> Method[inference_pb2.CompleteRequest, inference_pb2.CompleteResponse]:
    method = Method(
        TUNNEL.complete.path.split("/")[1],
        "Complete",
        TUNNEL.complete.request,
        TUNNEL.complete.response,
        tunnelled=True,
    )
    method.path = path
    return method


async def _verdict(peer: Peer, rpc: Rpc) -> Reason | None:
    method = Method(rpc.service, rpc.name, rpc.request, rpc.response, tunnelled=True)
    try:
        if rpc.server_streaming:
            async with peer.stream(method, rpc.request(), timeout=5) as call:
                await anext(aiter(call), None)
        else:
            await peer.unary(method, rpc.request(), timeout=5)
    except MeshError as error:
        return error.reason
    return None


async def _say(peer: Peer, message: tunnel_pb2.OpenRequest) -> tunnel_pb2.OpenResponse:
    """What a tunnel answers to a message that our own client would not send."""
    async with peer.bidi(OPEN) as (call, _):
        await call.write(message)
        answer: tunnel_pb2.OpenResponse = await call.read()
    return answer
