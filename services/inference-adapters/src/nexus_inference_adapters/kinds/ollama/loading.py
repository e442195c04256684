"""Loading, unloading, pulling and deleting models through Ollama's native API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import msgspec
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import Http, Offer, Patience, Progress, from_event
from nexus_inference_adapters.kinds.ollama.catalog import resident
from nexus_inference_adapters.openai import LineReader, decoded
from nexus_inference_adapters.vocabulary import EMBEDDING

__all__ = ["delete", "load", "pull", "unload"]

POLL_SECONDS = 0.1
PHASE_LENGTH = 64
SUCCESS = "success"


class PullLine(msgspec.Struct):
    """One line of /api/pull."""

    status: str = ""
    total: int = 0
    completed: int = 0
    error: str = ""


PULL_FAILURES = (
    (
        r"does not exist|not found",
        Reason.MODEL_NOT_FOUND,
        "The backend's library has no model of that name.",
    ),
    (
        r"no such host|dial tcp|connection re(?:fused|set)|timeout|unreachable|x509|proxy|\bEOF\b",
        Reason.UPSTREAM_ERROR,
        "The backend can't reach the library it fetches models from: see that its machine is online.",
    ),
    (
        r"no space left|disk quota",
        Reason.UPSTREAM_ERROR,
        "The disk of the backend's machine is full: make room there, or delete models with `nexus rm`.",
    ),
    (
        r"requires a newer version",
        Reason.UPSTREAM_ERROR,
        "The backend is too old for this model: update the engine.",
    ),
    (
        r"unauthorized|access denied|forbidden|\b40[13]\b",
        Reason.UPSTREAM_ERROR,
        "The backend's library does not give out this model: sign the engine in there, or pull another one.",
    ),
)

LINE = msgspec.json.Decoder(PullLine)


async def load(
    http: Http, config: BackendConfig, offer: Offer, keep_alive: int | None, patience: Patience
) -> int:
    """A request without a prompt loads the model; the bytes it then takes."""
    await _without_prompt(http, config, offer, keep_alive, patience)
    return resident(await http.look("GET", "/api/ps")).get(offer.name, 0)


async def unload(http: Http, config: BackendConfig, offer: Offer, patience: Patience) -> None:
    """Its answer comes before the memory is free; so this waits until the model is listed no longer."""
    if offer.name not in resident(await http.look("GET", "/api/ps")):
        return
    await _without_prompt(http, config, offer, 0, patience)
    while offer.name in resident(await http.look("GET", "/api/ps")):
        await patience.wait(asyncio.sleep(POLL_SECONDS))


async def pull(http: Http, model: str, patience: Patience) -> AsyncGenerator[Progress, None]:
    """Its failures come inside the stream, with status 200; a stream without `success` at its end is cut."""
    lines, succeeded = LineReader(), False
    async with http.post("/api/pull", {"model": model, "stream": True}, patience) as answer:
        while not succeeded and (part := await answer.part()):
            arrived = [decoded(LINE, raw) for raw in lines.feed(part) if raw]
            for line in _last_of_each_phase(arrived):
                if line.error:
                    raise _failure(line.error)
                succeeded = line.status == SUCCESS
                yield Progress(_phase(line.status), max(0, line.completed), max(0, line.total))
    if not succeeded:
        raise MeshError(Reason.BACKEND_LOST, "The backend stopped fetching the model before it was complete.")


async def delete(http: Http, offer: Offer) -> None:
    """Removes the model's files."""
    seen = await http.look("DELETE", "/api/delete", {"model": offer.name})
    if seen.status == 404:
        raise MeshError(Reason.MODEL_NOT_FOUND, "The backend does not have this model.")
    if seen.status != 200:
        raise from_event({"error": str(seen.dig("error") or "")})


async def _without_prompt(
    http: Http, config: BackendConfig, offer: Offer, keep_alive: int | None, patience: Patience
) -> None:
    """What takes no prompt is loaded by what it does: an embedding model by embedding nothing."""
    body: dict[str, Any] = {"model": offer.name}
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    if config.context_tokens is not None:
        body["options"] = {
            "num_ctx": config.context_tokens
        }  # as requests ask for: another would load it anew
    embeds = {*offer.model.operations} == {EMBEDDING}
    path, rest = ("/api/embed", {"input": []}) if embeds else ("/api/generate", {"stream": False})
    async with http.post(path, body | rest, patience) as answer:
        await answer.read()


def _last_of_each_phase(lines: Iterable[PullLine]) -> Iterable[PullLine]:
    """Of what came together only the newest of each phase is news."""
    return {line.status or line.error: line for line in lines}.values()


def _failure(text: str) -> MeshError:
    """Of a pull: Ollama gives its library's words, the network's or the disk's; none of them is passed on."""
    for words, reason, told in PULL_FAILURES:
        if re.search(words, text, re.IGNORECASE):
            metadata = {"param": "model"} if reason is Reason.MODEL_NOT_FOUND else None
            return MeshError(reason, told, metadata=metadata)
    return from_event({"error": text})


def _phase(status: str) -> str:
    return "".join(character for character in status if character.isprintable())[:PHASE_LENGTH]
