"""Servers that paint over OpenAI's API: LocalAI, stable-diffusion.cpp's server, vLLM-Omni.

They tell nobody what else their models take, and pass over what they do not know: only what all heed is sent.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncGenerator
from typing import ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Offer,
    Patience,
    Progress,
    Work,
    malformed,
)
from nexus_inference_adapters.pictures import Converter, Order, handed_on, offered, order_of
from nexus_inference_adapters.vocabulary import IMAGE

__all__ = ["OpenAIImages"]

MOST_ANSWER_BYTES = 128 * 1024 * 1024
IN_THE_ANSWER = {"response_format": "b64_json"}
PARAMETERS = offered({}, previews=False, efforts=False, seeds=0)


class _Picture(msgspec.Struct):
    b64_json: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Picture]


ANSWER = msgspec.json.Decoder(_Answer)


class OpenAIImages(Adapter):
    """`models` of its row says which of the server's models paint; without it all are taken to."""

    kind: ClassVar[str] = "openai_images"
    instead: ClassVar[str] = "OpenAI's API has no way to: start and stop the server with the models you want."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._asks_for_bytes = True

    async def inspect(self) -> Inspection:
        seen = await self.http.look("GET", "/v1/models")
        if seen.status != 200:
            raise MeshError(
                Reason.UPSTREAM_ERROR, f"The backend answers its list of models with status {seen.status}."
            )
        names = [row["id"] for row in seen.rows("data") if isinstance(row.get("id"), str)]
        allowed = self.config.models
        offers = [_offer(name) for name in names if not allowed or name in allowed]
        if not offers:
            told = f"It lists none of {', '.join(allowed)}." if allowed else "It lists no model."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        return Inspection(instance_pb2.STATE_ACTIVE, offers=offers, capacity=self.config.max_concurrency or 1)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Pictures come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order = order_of(work.body)
        yield Progress("working")
        pictures = await self._asked(work, order, patience)
        async with Converter(order, patience) as converter:
            for index in range(order.n):
                picture = await converter.convert(pictures[index])
                pictures[index] = b""
                if order.size not in (None, (picture.width, picture.height)):
                    told = (
                        f"The backend made a picture of {picture.size}, which is not the size that was asked."
                    )
                    raise malformed(told)
                patience.content_came()
                for piece in handed_on(picture, order, index=index):
                    yield piece
        yield Finish(inference_pb2.Usage(output_images=order.n))

    async def _asked(self, work: Work, order: Order, patience: Patience) -> list[bytes]:
        body: JsonObject = {"model": work.model, "prompt": order.prompt, "n": order.n}
        if order.size is not None:
            body["size"] = f"{order.size[0]}x{order.size[1]}"
        try:
            return await self._sent(body | (IN_THE_ANSWER if self._asks_for_bytes else {}), order.n, patience)
        except MeshError as error:
            # OpenAI's own newer models send bytes always, and take no word about it.
            if not self._asks_for_bytes or "response_format" not in error.message:
                raise
        self._asks_for_bytes = False
        return await self._sent(body, order.n, patience)

    async def _sent(self, body: JsonObject, count: int, patience: Patience) -> list[bytes]:
        async with self.http.post("/v1/images/generations", body, patience) as answer:
            raw = await answer.read(MOST_ANSWER_BYTES)
        try:
            told = ANSWER.decode(raw).data
        except (ValueError, RecursionError):
            raise malformed("The backend's answer is not OpenAI's list of pictures.") from None
        if len(told) != count:
            raise malformed(f"The backend made {len(told)} of {count} pictures.")
        try:
            return [binascii.a2b_base64(each.b64_json or "", strict_mode=True) for each in told]
        except ValueError:
            raise malformed("The backend's picture is not base64.") from None


def _offer(name: str) -> Offer:
    model = model_pb2.Model(id=name, operations=[IMAGE], parameters=[PARAMETERS], loaded=True)
    return Offer(model, name)
