"""Piper's own HTTP server: POST /synthesize answers with a whole WAV file, in the voice it was asked for or, without a
word, in another. So a voice is only asked for by a name that is sure to be that voice's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.audio import TRANSCODER, Voice, Wave, encoded, speech_model, stretch_of
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Answer,
    Completed,
    Event,
    Http,
    Inspection,
    JsonObject,
    Offer,
    Patience,
    Seen,
    Work,
    malformed,
)
from nexus_inference_adapters.vocabulary import SPEECH

__all__ = ["PiperHttp"]

MODEL = "piper"
SPEEDS = (0.5, 2)
EATEN = ".onnx.json"
"""The server takes every one of these letters from the end of a file's name, not this ending."""
MOST_VOICES = 300


@dataclass(frozen=True, slots=True)
class _Named:
    """What the server is to be asked for: nothing = its default."""

    voice: str = ""
    speaker: str = ""
    length_scale: float = 1.0


class PiperHttp(Adapter):
    """One model, with the voices of the server's folders; `models` gives it another name."""

    kind: ClassVar[str] = "piper_http"
    ports: ClassVar[tuple[int, ...]] = (5000,)
    instead: ClassVar[str] = "Its server has POST /download for voices, and nothing else."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._voices: Mapping[str, _Named] = {}
        self._encoders = Workers(TRANSCODER)

    async def close(self) -> None:
        await self._encoders.close()

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        if listing.status != 404:
            return None
        info = await http.look("GET", "/info")
        return "piper" if isinstance(info.dig("voice", "name"), str) else None

    async def inspect(self) -> Inspection:
        listing, info = await self.http.look("GET", "/voices"), await self.http.look("GET", "/info")
        if listing.status != 200 or not isinstance(listing.body, dict):
            raise MeshError(Reason.BACKEND_DOWN, "It does not list its voices: is it Piper's HTTP server?")
        default = info.dig("voice", "name")
        voices: dict[str, _Named] = {}
        left_out: list[str] = []
        for listed, about in listing.body.items():
            name = self._sure_name(listed, about, default)
            if name is None:
                left_out.append(listed)
            else:
                voices |= _speakers(listed if name in ("", listed) else name, name, about)
        self._voices = voices
        if len(voices) > MOST_VOICES:
            told = f"It has {len(voices)} voices, more than can be listed: name those to serve in `voices`."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        chosen = self.config.voices or tuple(voices)
        shown = [Voice(one) for one in voices if one in chosen]
        if not shown:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It has no voice that can be asked for by its name."
            )
        model = model_pb2.Model(id=(self.config.models or (MODEL,))[0], operations=[SPEECH], owner="piper")
        note = ""
        if left_out:
            note = (
                f"Voices of {', '.join(left_out)[:100]} have names that its list cuts: name them in `voices`."
            )
        offer = Offer(speech_model(model, shown, speeds=SPEEDS), model.id)
        return Inspection(instance_pb2.STATE_ACTIVE, note, [offer], self.config.max_concurrency or 1)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Speech comes as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        named = self._voices.get(work.body["voice"])
        if named is None:
            raise MeshError(Reason.BACKEND_DOWN, "The voice is gone from the server since it was listed.")
        asked: JsonObject = {
            "text": work.body["input"],
            "length_scale": named.length_scale * stretch_of(work.body.get("speed", 1.0)),
        }
        asked |= {"voice": named.voice} if named.voice else {}
        asked |= {"speaker": named.speaker} if named.speaker else {}
        answer = await self.http.send("/synthesize", asked, patience, keep=False)
        try:
            wave = Wave()
            samples = _samples(answer, wave)
            first = await anext(samples, b"")
            async with aclosing(
                encoded(self._encoders, work.body, wave.rate, _with(first, samples), patience)
            ) as events:
                async for event in events:
                    yield event
        finally:
            answer.close()

    def _sure_name(self, listed: str, about: object, default: object) -> str | None:
        """The name of its file, by which the server finds it; empty for its default, None where nothing tells."""
        if listed == default:
            return ""
        for name in (*self.config.voices, _canonical(about)):
            if name and name.rstrip(EATEN) == listed:
                return name
        return None


def _canonical(about: object) -> str:
    """What a voice of Piper's is called by its makers: language, speaker and quality."""
    told = Seen(200, about if isinstance(about, dict) else None, {})
    parts = [told.dig("language", "code"), told.dig("dataset"), told.dig("audio", "quality")]
    return "-".join(str(part) for part in parts) if all(parts) else ""


def _speakers(shown: str, name: str, about: object) -> dict[str, _Named]:
    """A voice by its name, and each of several speakers by both."""
    told = Seen(200, about if isinstance(about, dict) else None, {})
    scale, speakers = told.dig("inference", "length_scale"), told.dig("speaker_id_map")
    length = float(scale) if isinstance(scale, int | float) and scale > 0 else 1.0
    found = {shown: _Named(name, "", length)}
    if isinstance(speakers, dict) and len(speakers) > 1:
        found |= {f"{shown}:{each}": _Named(name, each, length) for each in speakers}
    return found


async def _samples(answer: Answer, wave: Wave) -> AsyncGenerator[bytes, None]:
    """The sound itself. Raises UPSTREAM_MALFORMED for another form of it, BACKEND_LOST when it ends too early."""
    size = 0
    while data := await answer.part():
        samples = wave.feed(data)
        if wave.at and (wave.bits, wave.channels) != (16, 1):
            raise malformed("The backend's sound is not of 16 bits, mono.")
        size += len(samples)
        if samples:
            yield samples
    if not wave.at or not wave.tells_its_length or size < wave.size:
        raise MeshError(Reason.BACKEND_LOST, "The backend's sound ended before its end. Retry the request.")


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for data in rest:
        yield data
