"""A recording turned into plain sound, by a process that can do nothing else."""

from __future__ import annotations

import asyncio
import struct
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.children import child_environment
from nexus_inference_adapters.contract import Kept, Patience
from nexus_inference_adapters.hearing import RATE, SAMPLE_BYTES, Ending

__all__ = ["LONGEST_SECONDS", "Sound", "decoded"]

LONGEST_SECONDS = 4 * 3600
DECODE_SECONDS = 300.0
FORMATS = "flac, mp3, mp4, mpeg, mpga, m4a, ogg, wav, webm and their like"
TOLD: dict[int, str] = {
    Ending.NO_SOUND: "has no sound in it",
    Ending.UNREADABLE: f"is no recording that can be read. Formats: {FORMATS}",
    Ending.TOO_LONG: f"is longer than the {LONGEST_SECONDS // 3600} hours that are taken here",
    Ending.CUT_OFF: "is not whole: it has less sound than it says itself. Send all of it",
}


@dataclass(frozen=True, slots=True)
class Sound:
    """16 kHz, mono, 16 bits; `seconds` of it."""

    file: IO[bytes]
    seconds: float

    def head(self, size: int) -> bytes:
        """That of a WAV file with so many bytes of it."""
        form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
        fmt = b"WAVEfmt " + struct.pack("<I", len(form)) + form
        return b"RIFF" + struct.pack("<I", len(fmt) + 8 + size) + fmt + b"data" + struct.pack("<I", size)


@asynccontextmanager
async def decoded(recording: Kept, patience: Patience) -> AsyncGenerator[Sound, None]:
    """Raises INVALID_REQUEST for what is no recording, or not one that is taken here."""
    with tempfile.TemporaryFile(prefix="nexus-") as file:
        ending = await patience.wait(_decode(recording, file))
        if ending != Ending.GOOD:
            why = TOLD.get(ending, TOLD[Ending.UNREADABLE])
            raise MeshError(
                Reason.INVALID_REQUEST, f"The file {why}.", metadata={"code": "invalid_file", "param": "file"}
            )
        size = file.seek(0, 2)
        file.seek(0)
        yield Sound(file, size / SAMPLE_BYTES / RATE)


async def _decode(recording: Kept, file: IO[bytes]) -> int:
    """The exit code; negative when it was killed by a limit, or by us for taking too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nexus_inference_adapters.hearing.decoder", str(LONGEST_SECONDS),
        stdin=recording.file, stdout=file, stderr=asyncio.subprocess.DEVNULL,
        env=child_environment(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(DECODE_SECONDS):
            return await process.wait()
    except TimeoutError:
        return -1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
