"""A process that turns one recording into plain sound, and ends: `python -m nexus_inference_adapters.hearing.decoder`.

The recording is its standard input, a file; the sound, 16 kHz mono of 16 bits, its standard output, another one. How it
went its exit code says alone. Formats that lead elsewhere, as playlists do, are not read; nor could it go there.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from nexus_inference_adapters.children import MIB, close_doors, confine
from nexus_inference_adapters.hearing.sound import RATE, SAMPLE_BYTES, Ending

__all__ = ["main"]

MEMORY = 1024 * MIB
CPU_SECONDS = 120
FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,asf,au,avi,caf,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,"
    "ogg,wav,w64"
)
TELLS_ITS_LENGTH = frozenset({"wav", "w64", "flac", "aiff", "au", "caf"})
"""Formats whose head says how much there is: less than that was cut off."""
BAD_PACKETS = 2
"""Of a recording that are passed over, and one of a hundred: tags and the like stand between the sound of many."""
BLOCK = 64 * 1024
UNKNOWN_LENGTH = 0x7F000000
"""From so many bytes on a WAV's length is none: writers of streams put the largest number there."""


def main(longest: int) -> Ending:
    """`longest`: seconds of sound at most."""
    most = (longest + 1) * RATE * SAMPLE_BYTES
    confine(MEMORY, cpu_seconds=CPU_SECONDS, file_bytes=most + BLOCK)
    import av
    from av import logging
    from av.error import FFmpegError

    logging.set_level(logging.PANIC)
    source = os.fdopen(0, "rb", closefd=False)
    if _is_cut_wave(source.read(12), os.fstat(0).st_size):
        return Ending.CUT_OFF
    source.seek(0)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    close_doors()
    try:
        with av.open(
            source, options={"format_whitelist": FORMATS, "protocol_whitelist": "none"}
        ) as container:
            if not container.streams.audio:
                return Ending.NO_SOUND
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            seconds = _copy(container, stream, resampler, longest)
            if seconds is None:
                return Ending.UNREADABLE
            if seconds > longest:
                return Ending.TOO_LONG
            declared = (
                float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            )
            if container.format.name in TELLS_ITS_LENGTH and seconds + 1.0 < 0.98 * declared:
                return Ending.CUT_OFF
            return Ending.GOOD if seconds else Ending.NO_SOUND
    except (FFmpegError, ValueError, MemoryError, OSError):
        return Ending.UNREADABLE


def _is_cut_wave(head: bytes, size: int) -> bool:
    """Whether a WAV file tells of more than there is. One written before its length was known tells nothing."""
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return False
    told = int.from_bytes(head[4:8], "little")
    return told < UNKNOWN_LENGTH and told + 8 > size


def _copy(container: Any, stream: Any, resampler: Any, longest: int) -> float | None:
    """Seconds that were written; None when too much of it could not be read."""
    from av.error import FFmpegError

    written = packets = bad = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except FFmpegError:
            bad += 1
            if bad > BAD_PACKETS + packets // 100:
                return None
            continue
        for frame in frames:
            for out in resampler.resample(frame):
                written += _write(out)
        if written > longest * RATE:
            return written / RATE
    for out in resampler.resample(None):
        written += _write(out)
    return written / RATE


def _write(frame: Any) -> int:
    """Samples."""
    data = memoryview(bytes(frame.planes[0])[: frame.samples * SAMPLE_BYTES])
    while data:
        data = data[os.write(1, data) :]
    return int(frame.samples)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
