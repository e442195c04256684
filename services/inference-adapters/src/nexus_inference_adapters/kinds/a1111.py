"""stable-diffusion-webui of AUTOMATIC1111, and what has its API (Forge, SD.Next): /sdapi/v1.

It has one job at a time, and its progress and its interrupt are of whichever that is. So each request bears a task id
of its own, and nothing is believed or interrupted but while that very task runs. One that was interrupted is answered
with 200 and what there is of the picture.
"""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import ClassVar
from uuid import uuid4

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    Json,
    JsonObject,
    Media,
    Offer,
    Patience,
    Progress,
    Seen,
    Work,
    malformed,
)
from nexus_inference_adapters.pictures import Converter, Order, handed_on, offered, order_of
from nexus_inference_adapters.vocabulary import IMAGE

__all__ = ["A1111"]

API = "/sdapi/v1"
REFRESH_SECONDS = 30.0
POLL_SECONDS = 0.5
MOST_SILENT = 10
"""Looks at its progress that fail one after the other."""
MOST_UNKNOWN = 4
TAKE_BACK_SECONDS = 600.0
"""A job that waits for another's cannot be taken out of the queue: it is interrupted when it begins."""
MOST_ANSWER_BYTES = 128 * 1024 * 1024
USUAL_STEPS, MOST_STEPS = 20, 150
MOST_SEED = 2**32 - 1
LISTS = ("sd-models", "samplers", "schedulers", "loras")


class _Answer(msgspec.Struct):
    images: list[str]


ANSWER = msgspec.json.Decoder(_Answer)


class A1111(Adapter):
    """Its checkpoints are the models. One picture a job, so that each has its seed and no sheet of all comes along."""

    kind: ClassVar[str] = "a1111"
    ports: ClassVar[tuple[int, ...]] = (7860,)
    abilities = frozenset({memory_pb2.ABILITY_UNLOAD})
    instead: ClassVar[str] = "The web UI loads a model with the first picture that needs it."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._offers: list[Offer] = []
        self._refreshed: float | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        seen = await http.look("GET", f"{API}/progress?skip_current_image=true")
        return "a1111" if isinstance(seen.dig("state", "job"), str) else None

    async def close(self) -> None:
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def inspect(self) -> Inspection:
        told = await self.http.look("GET", f"{API}/options")
        loaded = told.dig("sd_model_checkpoint")
        if told.status != 200:
            raise MeshError(Reason.UPSTREAM_ERROR, "There is no /sdapi/v1: start the web UI with --api.")
        if self._refreshed is None or time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._offers = await self._look_up()
            self._refreshed = time.monotonic()
        for offer in self._offers:
            offer.model.loaded = offer.name == loaded
        if not self._offers:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It has no checkpoint in models/Stable-diffusion."
            )
        memory = (await self.http.look("GET", f"{API}/memory")).dig("cuda", "allocated", "current")
        resident = (
            {loaded: memory} if isinstance(memory, int) and memory and isinstance(loaded, str) else None
        )
        capacity = self.config.max_concurrency or 1
        return Inspection(instance_pb2.STATE_ACTIVE, "", self._offers, capacity, resident)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Pictures come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order = order_of(work.body)
        async with Converter(order, patience) as converter:
            for index in range(order.n):
                job = _Job(self.http, _asked(work, order, index), patience)
                try:
                    async for event in job.watched(order, index, converter):
                        yield event
                finally:
                    self._let_go(job)
                picture = await converter.convert(job.picture)
                for piece in handed_on(picture, order, index=index, seed=order.seed_of(index)):
                    yield piece
        yield Finish(inference_pb2.Usage(output_images=order.n))

    async def unload(self, offer: Offer, patience: Patience) -> None:  # noqa: ARG002 - there is one at most
        async with self.http.post(f"{API}/unload-checkpoint", {}, patience) as answer:
            await answer.read()

    def _let_go(self, job: _Job) -> None:
        task = asyncio.create_task(job.take_back(), name=f"a1111 {self.config.name}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _look_up(self) -> list[Offer]:
        models, samplers, schedulers, loras = [await self._list(name) for name in LISTS]
        more: JsonObject = {
            "negative_prompt": {"type": "string", "maxLength": 32_000},
            "steps": {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": USUAL_STEPS},
            "guidance_scale": {"type": "number", "minimum": 1, "maximum": 30, "default": 7},
        }
        for name, rows in (("sampler", samplers), ("scheduler", schedulers), ("lora_name", loras)):
            if choices := [row["name"] for row in rows if isinstance(row.get("name"), str)]:
                more[name] = {"enum": choices}
        if "lora_name" in more:
            more["lora_strength"] = {"type": "number", "minimum": -2, "maximum": 2, "default": 1}
        told = offered(more, seeds=MOST_SEED)
        allowed = self.config.models
        return [
            Offer(
                model_pb2.Model(id=row["model_name"], operations=[IMAGE], parameters=[told], owner="a1111"),
                row["title"],
            )
            for row in models
            if {type(row.get("title")), type(row.get("model_name"))} == {str}
            and (not allowed or row["model_name"] in allowed)
        ]

    async def _list(self, name: str) -> list[JsonObject]:
        """Empty where it has none of them: schedulers and LoRAs are newer than the rest."""
        body = (await self.http.look("GET", f"{API}/{name}")).body
        return [row for row in body if isinstance(row, dict)] if isinstance(body, list) else []


class _Job:
    """One picture on its way. `picture`: its file, at the end of `watched`."""

    def __init__(self, http: Http, body: JsonObject, patience: Patience) -> None:
        self.id = f"task({uuid4().hex})"
        self.picture = b""
        self._http, self._patience = http, patience
        self._sending = asyncio.create_task(self._sent({**body, "force_task_id": self.id}))
        self._seen = -1
        self._interrupted = False

    async def watched(self, order: Order, index: int, converter: Converter) -> AsyncGenerator[Event, None]:
        """How it gets on, and looks at it. Raises BACKEND_LOST where somebody interrupts it."""
        steps, shown, done, silent = order.steps_of(USUAL_STEPS, MOST_STEPS), 0, -1, 0
        while not (await self._patience.wait(asyncio.wait({self._sending}, timeout=POLL_SECONDS)))[0]:
            try:
                told, silent = await self._progress(), 0
            except MeshError:
                silent += 1
                if silent < MOST_SILENT:
                    continue
                raise
            if told.dig("queued") is True:
                yield Progress("queued")
            share = told.dig("progress")
            if told.dig("active") is not True or not isinstance(share, int | float):
                continue
            if (at := min(steps, round(share * steps))) != done:
                done = at
                yield Progress("painting", index * steps + at, order.n * steps, "steps")
            if shown < min(order.previews, steps - 1) and share * (order.previews + 1) >= shown + 1:
                async for piece in self._look(told, order, index, shown, converter):
                    yield piece
                    shown += piece.last
            await self._note_interrupts()
        self.picture = await self._sending
        await self._note_interrupts()
        if self._interrupted:
            raise MeshError(
                Reason.BACKEND_LOST, "Somebody interrupted this picture at its web UI. Retry the request."
            )

    async def take_back(self) -> None:
        """Interrupts it while it runs; one that waits, when it begins. Nothing is to do once it was answered."""
        if self._sending.done() and not self._sending.cancelled() and self._sending.exception() is None:
            return
        self._sending.cancel()
        unknown = 0
        with suppress(MeshError, TimeoutError):
            async with asyncio.timeout(TAKE_BACK_SECONDS):
                while unknown < MOST_UNKNOWN:
                    told = await self._progress()
                    if told.dig("active") is True:
                        await self._http.look("POST", f"{API}/interrupt")
                        return
                    # Just sent, it may not have come that far.
                    unknown += told.dig("queued") is not True
                    await asyncio.sleep(POLL_SECONDS)

    async def _sent(self, body: JsonObject) -> bytes:
        limits = self._patience.limits  # a patience of its own: one waits in one place
        with Patience(limits, silence=limits.total) as patience:
            async with self._http.post(f"{API}/txt2img", body, patience) as answer:
                raw = await answer.read(MOST_ANSWER_BYTES)
        try:
            (image,) = ANSWER.decode(raw).images
            return binascii.a2b_base64(image.rpartition(",")[2], strict_mode=True)
        except (ValueError, RecursionError):
            raise malformed(
                "The backend's answer does not hold the one picture that was asked for."
            ) from None

    async def _progress(self) -> Seen:
        """Of this task alone."""
        body: JsonObject = {"id_task": self.id, "id_live_preview": self._seen}
        return await self._http.look("POST", "/internal/progress", body)

    async def _note_interrupts(self) -> None:
        """After its end the state is still its own, until the next job begins."""
        with suppress(MeshError):
            told = await self._http.look("GET", f"{API}/progress?skip_current_image=true")
            if not self._sending.done() or not told.dig("state", "job"):
                ends = (told.dig("state", "interrupted"), told.dig("state", "skipped"))
                self._interrupted |= True in ends

    async def _look(
        self, told: Seen, order: Order, index: int, shown: int, converter: Converter
    ) -> AsyncGenerator[Media, None]:
        text, number = told.dig("live_preview"), told.dig("id_live_preview")
        if not isinstance(text, str) or not isinstance(number, int):
            return
        self._seen = number
        try:
            data = binascii.a2b_base64(text.rpartition(",")[2])
        except ValueError:
            return
        for piece in handed_on(await converter.convert(data), order, index=index, preview=shown):
            yield piece


def _asked(work: Work, order: Order, index: int) -> JsonObject:
    lora, strength = order.more.get("lora_name"), order.more.get("lora_strength", 1)
    given: dict[str, Json] = {
        "prompt": order.prompt + (f" <lora:{lora}:{strength}>" if lora else ""),
        "negative_prompt": order.more.get("negative_prompt"),  # type: ignore[dict-item]
        "seed": order.seed_of(index),
        "steps": order.steps_of(USUAL_STEPS, MOST_STEPS),
        "cfg_scale": order.more.get("guidance_scale"),  # type: ignore[dict-item]
        "sampler_name": order.more.get("sampler"),  # type: ignore[dict-item]
        "scheduler": order.more.get("scheduler"),  # type: ignore[dict-item]
        "width": order.size[0] if order.size else None,
        "height": order.size[1] if order.size else None,
        "override_settings": {"sd_model_checkpoint": work.model},
        "override_settings_restore_afterwards": False,
        "save_images": False,
        "send_images": True,
    }
    return {name: value for name, value in given.items() if value is not None}
