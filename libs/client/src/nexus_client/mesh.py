"""The way of a member of the mesh: gRPC under its own certificate, which is kept fresh meanwhile."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from nexus.inference.v1 import inference_pb2
from nexus.vault.v1 import identity_pb2
from nexus_mesh.core import MeshError, Reason, write_private
from nexus_mesh.identity import Denials, Identity, JoinToken, role_server_name, tls
from nexus_mesh.process import enrollment, follow_trust
from nexus_mesh.rpc import Method, Peer

from nexus_client import wire
from nexus_client.transport import Request, Transport
from nexus_client.types import Answer, Count, Embeddings, Event, Progress, Served, Started, Usage

__all__ = ["MeshTransport"]

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)
COUNT = Method(SERVICE, "CountTokens", inference_pb2.CountTokensRequest, inference_pb2.CountTokensResponse)
PRIORITIES = {
    "": inference_pb2.PRIORITY_UNSPECIFIED,
    "low": inference_pb2.PRIORITY_LOW,
    "normal": inference_pb2.PRIORITY_NORMAL,
    "high": inference_pb2.PRIORITY_HIGH,
}
CONTROL, JOINED_WITH = "control.json", "joined.sha256"
NEAR_ITS_END = datetime.timedelta(seconds=30)


class MeshTransport(Transport):
    """`address`: host:port of a gateway's gRPC door. `folder`: of the identity, which one process has to itself.

    `token`: redeemed when the folder has no identity yet, once. `vault`: host:port, where the identity is renewed; by
    default where it was got. Without one, somebody else is to renew what is in the folder.
    """

    def __init__(self, address: str, folder: Path, *, token: str = "", vault: str = "") -> None:
        self._address = address
        self._folder = folder
        self._token = token
        self._vault = vault
        self._denied = Denials()
        self._identity: Identity | None = None
        self._gateway: Peer | None = None
        self._peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        material = await asyncio.to_thread(tls.load, self._folder)
        self._identity = identity = Identity(material) if material else await self._join()
        domain = identity.spiffe.trust_domain
        self._gateway = self._dial(self._address, role_server_name("gateway", domain), identity)
        if address := self._vault or await asyncio.to_thread(self._control):
            vault = self._dial(address, role_server_name("vault", domain), identity)
            renewing = enrollment.keep_fresh(identity, self._folder, enrollment.renew_with(vault))
            trusting = follow_trust(vault, identity, self._denied, self._folder)
            self._tasks += [asyncio.create_task(renewing), asyncio.create_task(trusting)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(peer.close() for peer in self._peers))
        self._tasks, self._peers, self._gateway = [], [], None

    async def complete(self, request: Request) -> Answer:
        told = await self._complete(request)
        return wire.answer(told.body, _served(told.served), _usage(told))

    async def embed(self, request: Request) -> Embeddings:
        told = await self._complete(request)
        return wire.embeddings(told.body, _served(told.served), _usage(told))

    async def count(self, request: Request) -> Count:
        asked = inference_pb2.CountTokensRequest(envelope=_envelope(request))
        told = await (await self._peer()).unary(COUNT, asked, timeout=request.options.timeout)
        return Count(told.prompt_tokens, told.estimated, told.method)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[AsyncGenerator[Event, None], None]:
        asked = inference_pb2.StreamRequest(envelope=_envelope(request))
        peer = await self._peer()
        async with (
            peer.stream(STREAM, asked, timeout=request.options.timeout) as call,
            aclosing(aiter(call)) as messages,
            aclosing(_events(messages)) as events,
        ):
            yield events

    async def _complete(self, request: Request) -> inference_pb2.CompleteResponse:
        asked = inference_pb2.CompleteRequest(envelope=_envelope(request))
        return await (await self._peer()).unary(COMPLETE, asked, timeout=request.options.timeout)

    async def _peer(self) -> Peer:
        """The gateway, called by a certificate that is good."""
        if self._gateway is None or self._identity is None:
            raise MeshError(Reason.NOT_READY, "The client is not open: use it in a `with` block.")
        if self._identity.expires_at - datetime.datetime.now(datetime.UTC) < NEAR_ITS_END:
            material = await asyncio.to_thread(tls.load, self._folder)
            if material is None:
                raise MeshError(
                    Reason.MESH_IDENTITY,
                    f"The identity in {self._folder} has expired and nobody renewed it: join again with a new token.",
                )
            if material != self._identity.material:
                self._identity.replace(material)
        return self._gateway

    def _dial(self, address: str, server_name: str, identity: Identity) -> Peer:
        peer = Peer(address, server_name, identity)
        self._peers.append(peer)
        return peer

    async def _join(self) -> Identity:
        """Redeems the token. One that is presented twice withdraws the identity, so that is not done."""
        digest = hashlib.sha256(self._token.encode()).hexdigest().encode()
        used = self._folder / JOINED_WITH
        if not self._token or (used.exists() and used.read_bytes() == digest):
            raise MeshError(
                Reason.MESH_IDENTITY,
                f"There is no identity in {self._folder}, or it has expired, and no join token that was not used. "
                "On the control host: nexus token create --role client --tenant TENANT --node NAME",
            )
        try:
            token = JoinToken.decode(self._token)
        except ValueError as error:
            raise MeshError(Reason.JOIN_TOKEN, f"That is no join token: {error}.") from None

        async def issue(request: bytes) -> identity_pb2.IssuedCertificate:
            joined = await enrollment.join(token, request)
            write_private(self._folder / CONTROL, json.dumps(dict(joined.control_plane)).encode())
            write_private(used, digest)
            return joined.certificate

        return await enrollment.enroll(self._folder, issue)

    def _control(self) -> str:
        """The vault's address as it was told when the token was redeemed here; empty when it was not."""
        try:
            told = wire.decoded((self._folder / CONTROL).read_bytes(), dict[str, str])
        except (OSError, MeshError):
            return ""
        return told.get("vault", "")


def _envelope(request: Request) -> inference_pb2.Envelope:
    options = request.options
    return inference_pb2.Envelope(
        operation=request.operation,
        model=request.model,
        body=wire.as_json(request.body).decode(),
        zone=options.zone,
        priority=PRIORITIES[options.priority],
        on_behalf_of=options.on_behalf_of,
    )


async def _events(
    messages: AsyncIterator[inference_pb2.StreamResponse],
) -> AsyncGenerator[Event, None]:
    """Ends after Finished, and nowhere else without a MeshError."""
    told = wire.Told()
    async for message in messages:
        served = _served(message.served) if message.HasField("served") else None
        if served is not None:
            yield Started(served)
        match message.WhichOneof("event"):
            case "chunks":
                for piece in message.chunks.json:
                    for event in told.events(piece):
                        yield event
            case "progress":
                yield Progress(message.progress.phase, message.progress.done, message.progress.total)
            case "finish":
                yield told.finished(_usage(message.finish))
                return
            case _:
                pass
    raise MeshError(Reason.BACKEND_LOST, "The stream ended without its end mark: the answer is not whole.")


def _usage(told: inference_pb2.CompleteResponse | inference_pb2.Finish) -> Usage | None:
    if not told.HasField("usage"):
        return None
    usage = told.usage
    return Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens if usage.HasField("cached_tokens") else None,
        usage.reasoning_tokens if usage.HasField("reasoning_tokens") else None,
    )


def _served(served: inference_pb2.Served) -> Served | None:
    """None while nobody has: the request still waits for a place."""
    if not served.backend:
        return None
    reason = inference_pb2.RouteReason.Name(served.route_reason)
    return Served(
        served.model,
        served.backend,
        served.instance,
        served.kind,
        served.zone,
        served.attempts,
        reason.removeprefix("ROUTE_REASON_").lower().replace("_", "-"),
        served.fallback_model,
        served.dropped_tier,
        served.scrubbed if served.HasField("scrubbed") else None,
        served.cost_dollars if served.HasField("cost_dollars") else None,
    )
