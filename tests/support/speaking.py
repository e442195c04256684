"""Speech to be heard: eSpeak NG by its library, in any voice and language it has, as a WAV file."""

from __future__ import annotations

import ctypes
import io
import wave
from functools import cache

import espeakng_loader

__all__ = ["silence", "spoken", "wav"]

RETRIEVAL, UTF8 = 0x02, 1
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(RETRIEVAL, 0, espeakng_loader.get_data_path().encode(), 0)
    assert rate > 0
    return library, rate


def spoken(text: str, language: str = "en-us", speed: int = 150) -> bytes:
    """A WAV file, mono, 16 bits."""
    library, rate = _library()
    samples = bytearray()

    @CALLBACK
    def take(data: ctypes._Pointer[ctypes.c_short], count: int, _: int) -> int:  # pyright: ignore[reportPrivateUsage]
        if data and count > 0:
            samples.extend(ctypes.string_at(data, count * 2))
        return 0

    library.espeak_SetSynthCallback(take)
    assert library.espeak_SetVoiceByName(language.encode()) == 0
    library.espeak_SetParameter(1, speed, 0)
    said = text.encode() + b"\0"
    assert library.espeak_Synth(said, len(said), 0, 0, 0, UTF8, None, None) == 0
    library.espeak_Synchronize()
    return wav(bytes(samples), rate)


def wav(samples: bytes, rate: int = 16_000, channels: int = 1) -> bytes:
    """16-bit samples as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples)
    return file.getvalue()


def silence(seconds: float) -> bytes:
    return wav(bytes(int(seconds * 16_000) * 2))
