"""What the painter is taught to draw, and that the measure of its pictures tells all of it apart."""

from __future__ import annotations

import numpy as np
import pytest
from nexus_inference_adapters.painter.scene import Group, Scene
from nexus_inference_adapters.painter.vocabulary import COLOURS, NOUNS
from support.pictures import Verdict, colour_of, judged, outline

from tools.image_model.outlines import OUTLINES

ALL_FOUND = Verdict(colours=True, shapes=True, counts=True, places=True, background=True)


def test_every_noun_has_an_outline():
    assert list(OUTLINES) == list(NOUNS)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_measure_names_every_colour(colour: str):
    assert colour_of(COLOURS[colour][0]) == colour


@pytest.mark.parametrize("noun", NOUNS)
def test_the_measure_tells_every_noun_from_the_others(noun: str):
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[50:120, 40:110][outline(noun, turn=3, side=70)] = COLOURS["blue"][0]
    for other in NOUNS:
        seen = judged(Scene((Group(other, "blue"),), "white"), picture)
        assert (seen == ALL_FOUND) == (other == noun), other


def test_the_measure_misses_what_is_elsewhere_or_too_much():
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[10:60, 10:60] = COLOURS["red"][0]
    assert judged(Scene((Group("square", "red", place="top left"),)), picture) == ALL_FOUND
    assert not judged(Scene((Group("square", "red", place="bottom right"),)), picture).places
    assert not judged(Scene((Group("square", "red", 2),)), picture).counts
    assert not judged(Scene((Group("square", "green"),)), picture).colours
    assert not judged(Scene((Group("square", "red"),), "black"), picture).background
