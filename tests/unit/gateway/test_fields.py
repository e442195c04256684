"""Fields of forms mean the parameters of their names: whatever JSON could say, a form says as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from nexus_gateway.validation import shape_of_form, value_of_field
from nexus_mesh.core import MeshError
from nexus_operations import Operation
from support.properties import given

SHAPES = shape_of_form(Operation.TRANSCRIPTION)


@pytest.mark.parametrize(("name", "texts", "value"), [
    ("temperature", ["0.5"], 0.5),
    ("temperature", ["0"], 0.0),
    ("temperature", [""], None),
    ("stream", ["true"], True),
    ("stream", ["False"], False),
    ("stream", ["1"], True),
    ("prompt", ["5"], "5"),
    ("prompt", [""], ""),
    ("language", ["en"], "en"),
    ("timestamp_granularities", ["word"], ["word"]),
    ("timestamp_granularities", ["word", "segment"], ["word", "segment"]),
    ("chunking_strategy", ["auto"], "auto"),
    ("chunking_strategy", ['{"type": "server_vad", "threshold": 0.5}'], {"type": "server_vad", "threshold": 0.5}),
    ("something_else", ["1"], "1"),
])  # fmt: skip
def test_what_a_field_means(name: str, texts: list[str], value: Any) -> None:
    found = value_of_field(name, texts, SHAPES.get(name))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(("name", "texts"), [
    ("temperature", ["warm"]),
    ("temperature", ["inf"]),
    ("temperature", ["0.1", "0.2"]),
    ("stream", ["yes please"]),
    ("model", ["a", "b"]),
    ("chunking_strategy", ["{"]),
    ("chunking_strategy", ["{" * 100_000]),
])  # fmt: skip
def test_what_it_can_not_mean(name: str, texts: list[str]) -> None:
    with pytest.raises(MeshError) as refused:
        value_of_field(name, texts, SHAPES.get(name))
    assert refused.value.metadata["param"] == name


@given(st.sampled_from([*SHAPES, "x"]), st.lists(st.text(), min_size=1, max_size=3))
def test_any_text_is_read_or_refused_by_name(name: str, texts: list[str]) -> None:
    refused: MeshError | None = None
    try:
        value_of_field(name, texts, SHAPES.get(name))
    except MeshError as error:
        refused = error
    assert refused is None or refused.metadata["param"] == name
