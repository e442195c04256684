"""Sound in its formats, sentences, and where speech begins and ends."""

from __future__ import annotations

import io
import math
import struct

import av
import numpy as np
import pytest
from hypothesis import strategies as st
from nexus_gateway.dialects.realtime.sound import FORMATS, PCM
from nexus_gateway.dialects.realtime.turns import FIRST, WINDOW_MS, Edge, Turns
from nexus_gateway.dialects.sentences import LONGEST, Sentences, is_spoken
from support.properties import given

TONE = struct.pack("<2400h", *(round(12_000 * math.sin(at * 440 * math.tau / 24_000)) for at in range(2_400)))


@pytest.mark.parametrize("kind", FORMATS)
def test_another_decoder_reads_what_is_written(kind: str) -> None:
    form = FORMATS[kind]
    with av.open(io.BytesIO(form.file(form.of_pcm(TONE))), "r") as container:
        assert container.streams.audio[0].rate == form.rate
        heard = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    step = 24_000 // form.rate
    wanted = np.frombuffer(TONE, "<i2").reshape(-1, step).mean(axis=1)
    assert len(heard) == len(wanted)
    assert np.abs(heard - wanted).max() <= (0 if form is PCM else 400)


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_every_sample_of_g711_is_the_nearest_there_is(kind: str) -> None:
    form = FORMATS[kind]
    samples = np.arange(-32_768, 32_768, 7, dtype="<i2")
    coded = form.of_pcm(np.repeat(samples, 3).tobytes())
    with av.open(io.BytesIO(form.file(coded)), "r") as container:
        heard = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    error = np.abs(heard.astype(int) - samples)
    assert (error <= np.maximum(16, np.abs(samples.astype(int)) / 28)).all()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("Dr. Who met J. R. Smith. He left.", ["Dr. Who met J. R. Smith. ", "He left."]),
        ("It is 3.5 m. Fine.", ["It is 3.5 m. Fine."]),
        ("1. First\n2. Second\n", ["1. First\n", "2. Second\n"]),
        ('He said "No." Then left.', ['He said "No." ', "Then left."]),
        ("你好。再见。", ["你好。", "再见。"]),
        ("... Well. ", ["... Well. "]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    cut = Sentences()
    found = [each for letter in text for each in cut.feed(letter)]
    rest = cut.rest()
    assert [*found, *([rest] if rest else [])] == sentences


@given(st.text(alphabet="ab .,!?\n。1", max_size=1_500), st.integers(1, 50))
def test_nothing_is_lost_or_held_for_long(text: str, step: int) -> None:
    cut, found = Sentences(), list[str]()
    for at in range(0, len(text), step):
        found += cut.feed(text[at : at + step])
    rest = cut.rest()
    assert "".join(found) + rest == text
    assert len(rest) <= LONGEST or not is_spoken(rest)


def test_a_click_is_no_speech_and_a_breath_no_end() -> None:
    turns = Turns(0.5, 500, at_ms=1_000)
    assert [turns.hear(p) for p in (0.9, 0.0, 0.9, 0.9)] == [None, None, None, Edge.BEGINS]
    assert turns.began_ms == 1_000 + 2 * WINDOW_MS
    assert FIRST == 2
    assert {turns.hear(0.0) for _ in range(15)} == {None}
    assert turns.hear(0.4) is None
    edges = [turns.hear(0.0) for _ in range(16)]
    assert edges == [None] * 15 + [Edge.ENDS]
