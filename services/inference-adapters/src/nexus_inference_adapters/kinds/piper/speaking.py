"""The process that speaks by one Piper voice: run as a file, with the voice's two files as its arguments.

Orders come on standard input, one JSON object a line: {} to be ready, or {"text", "voice", "stretch", "format"}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import Encoder

MEMORY = 4 << 30
MOST_THREADS = 4
MOST_PHONEMES = 600
"""Of what is spoken in one breath: memory grows with it, and the first sound waits for it."""
GAP = " "
QUIET = 1e-8
LOUDEST = 32_767


class Voice:
    """Raises OSError, ValueError or KeyError for files that are no voice."""

    def __init__(self, weights: Path, about: Path) -> None:
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PiperConfig

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = min(MOST_THREADS, os.cpu_count() or 1)
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        told = json.loads(about.read_text("utf-8"))
        session = onnxruntime.InferenceSession(
            str(weights), sess_options=settings, providers=["CPUExecutionProvider"]
        )
        self._piper: Any = PiperVoice(session, PiperConfig.from_dict(told))
        self.rate: int = self._piper.config.sample_rate

    def speak(self, order: dict[str, Any], frames: Frames) -> None:
        """Frames of the sound, sentence by sentence, and the one that ends them."""
        sentences = self._piper.phonemize(_plain(order["text"]))
        total, length = sum(map(len, sentences)), len(order["text"])
        encoder: Encoder | None = None  # what has nothing to say is told so before a first byte
        samples = said = 0
        for phonemes in (breath for sentence in sentences for breath in _breaths(sentence)):
            sound = self._sound(phonemes, order)
            encoder = encoder or Encoder(order["format"], self.rate, frames.media)
            encoder.feed(sound)
            samples, said = samples + len(sound) // 2, said + len(phonemes)
            frames.progress(length * said // total, length)
        if encoder is None:
            frames.failed("it has made no sound of the text")
            return
        encoder.end()
        frames.done(seconds=samples / self.rate)

    def _sound(self, phonemes: Sequence[str], order: dict[str, Any]) -> bytes:
        """16-bit samples, as loud as they can be."""
        import numpy as np
        from piper import SynthesisConfig

        about = self._piper.config
        how = SynthesisConfig(
            speaker_id=about.speaker_id_map.get(order["voice"]),
            length_scale=about.length_scale * order["stretch"],
        )
        sound = self._piper.phoneme_ids_to_audio(self._piper.phonemes_to_ids(list(phonemes)), how)
        peak = float(np.max(np.abs(sound), initial=QUIET))
        return (sound * (LOUDEST / max(peak, QUIET))).astype("<i2").tobytes()


def _breaths(sentence: Sequence[str]) -> Iterator[Sequence[str]]:
    """A sentence, or the pieces of one that is longer than anybody's."""
    while len(sentence) > MOST_PHONEMES:
        head = sentence[:MOST_PHONEMES]
        gaps = [at for at, phoneme in enumerate(head) if phoneme == GAP]
        cut = gaps[-1] + 1 if gaps else MOST_PHONEMES
        yield sentence[:cut]
        sentence = sentence[cut:]
    if sentence:
        yield sentence


def _plain(text: str) -> str:
    """Without what is no text to Piper: double brackets hold phonemes, control characters command its phonemizer."""
    printable = "".join(one if one.isprintable() or one == "\n" else " " for one in text)
    return printable.replace("[[", "[ [")


def main(weights: Path, about: Path) -> None:
    confine(MEMORY)
    frames = Frames()
    try:
        voice = Voice(weights, about)
    except Exception as error:  # whatever is wrong with a file, it is no voice
        frames.failed(f"the voice cannot be loaded ({type(error).__name__})")
        return
    for line in sys.stdin:
        one_more_job()
        order = json.loads(line)
        if order:
            voice.speak(order, frames)
        else:
            frames.done(rate=voice.rate)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
