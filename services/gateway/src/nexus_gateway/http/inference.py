"""POST chat/completions, completions, embeddings: parse, ask the pipeline, answer whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core import InferenceRequest, Priority
from nexus_gateway.http.answers import answer_body
from nexus_gateway.http.endpoint import Handler
from nexus_gateway.http.errors import EdgeError
from nexus_gateway.http.exchange import Exchange, served_headers
from nexus_gateway.http.streaming import send_events
from nexus_gateway.intake import Intake
from nexus_gateway.validation import check_priority, check_request, check_zone

STRICT = b"x-nexus-strict"
"""Request header: 1 = refuse parameters this gateway does not know, rather than hand them on."""

ZONE = b"x-nexus-zone"
"""Request header: the privacy zone the answer must come from. It adds to what policy demands and takes nothing away."""

PRIORITY = b"x-nexus-priority"
"""Request header: low = others may go first while places are short."""

OURS = b"x-nexus-"
OWN = (STRICT, ZONE, PRIORITY)


class Inference(Protocol):
    """The part of the pipeline these routes use."""

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse: ...

    def stream(
        self, request: InferenceRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[inference_pb2.StreamResponse]]: ...


def inference_handler(
    pipeline: Inference, operation: int, intake: Intake, keep_alive_seconds: float
) -> Handler:
    """The handler of one operation's route."""

    async def handle(exchange: Exchange) -> None:
        check_media_type(exchange.fields)
        check_own_headers(exchange.fields)

        def check(parsed: dict[str, Any], size: int) -> InferenceRequest:
            return check_request(
                operation,
                parsed,
                size=size,
                request_id=exchange.request_id,
                credential=None,  # already exchanged for a principal; the secret goes no further
                strict=exchange.fields.get(STRICT) == b"1",
            )

        request = await intake.read(await exchange.body(), check)
        request.principal = exchange.principal
        request.zone = demanded_zone(exchange)
        request.priority = wanted_priority(exchange)
        try:
            await answer(exchange, request)
        finally:
            request.let_go()

    async def answer(exchange: Exchange, request: InferenceRequest) -> None:
        if request.stream:
            async with pipeline.stream(request) as messages:
                await send_events(exchange, request, messages, keep_alive_seconds)
            return
        response = await pipeline.complete(request)
        headers = served_headers(response.served)
        await exchange.respond(200, answer_body(request, response.body), headers)

    return handle


def check_media_type(fields: dict[bytes, bytes]) -> None:
    """EdgeError unless the body is plain JSON in UTF-8."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise EdgeError("unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
    given, _, parameters = fields.get(b"content-type", b"").lower().partition(b";")
    name, _, value = parameters.partition(b"=")
    wrong_charset = name.strip() == b"charset" and value.strip(b'" ') not in (b"utf-8", b"utf8")
    if given.strip() != b"application/json" or wrong_charset:
        raise EdgeError(
            "unsupported_media_type", "Send the body as Content-Type: application/json, in UTF-8."
        )


def check_own_headers(fields: dict[bytes, bytes]) -> None:
    """MeshError INVALID_REQUEST for a header of ours that is none: a demand with a slip in its name is not dropped."""
    for name in fields:
        if name[:1] == b"x" and name.replace(b"_", b"-").startswith(OURS) and name not in OWN:
            said = name[:64].decode("latin-1")
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"This gateway knows no request header {said}; of its own it knows X-Nexus-Zone, X-Nexus-Priority and "
                "X-Nexus-Strict.",
                metadata={"param": said},
            )


def demanded_zone(exchange: Exchange) -> str | None:
    """The zone of the request's header, None without one. MeshError INVALID_REQUEST.

    Two headers are two demands, perhaps a proxy's and a client's: joined they are no name, so neither is dropped. An
    empty one is a demand too, whose name got lost on the way.
    """
    if ZONE not in exchange.fields:
        return None
    return check_zone(_every(exchange, ZONE) or " ", "X-Nexus-Zone")


def wanted_priority(exchange: Exchange) -> Priority:
    """The priority of the request's header, normal without one. MeshError INVALID_REQUEST, for two headers too."""
    if PRIORITY not in exchange.fields:
        return Priority.NORMAL
    return check_priority(_every(exchange, PRIORITY), "X-Nexus-Priority")


def _every(exchange: Exchange, header: bytes) -> str:
    """All values of a header, joined."""
    given = b",".join(value for name, value in exchange.scope["headers"] if name == header)
    return given.decode("latin-1").strip().lower()
