"""No operation without a spec, and no spec without a part: what is missing is said at import, by name."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import nexus_operations
import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_operations import (
    SPECS,
    Form,
    IncompleteError,
    Operation,
    Prompt,
    Shape,
    Spec,
    Unit,
    complete,
    spec_of,
)

NUMBERS = dict(model_pb2.Operation.items())
TABLE = Path(nexus_operations.__file__).with_name("table.py")
PARTS = [part.name for part in fields(Spec)]


def test_every_number_of_the_contract_has_its_spec() -> None:
    assert set(SPECS) == set(NUMBERS.values()) - {0}
    assert {each.value: f"OPERATION_{each.name}" for each in Operation} == {
        number: name for name, number in NUMBERS.items() if number
    }
    with pytest.raises(LookupError, match="no operation 0"):
        spec_of(0)


def test_an_operation_without_a_spec_is_named() -> None:
    with pytest.raises(IncompleteError, match="Operation hologram: it has no spec"):
        complete(SPECS.values(), {**NUMBERS, "OPERATION_HOLOGRAM": 99})


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("number", "name")])
@pytest.mark.parametrize("number", SPECS)
def test_a_part_that_is_nothing_is_named(number: int, part: str) -> None:
    specs = [replace(spec, **{part: None}) if spec.number == number else spec for spec in SPECS.values()]
    with pytest.raises(
        IncompleteError, match=f"Operation {SPECS[number].name}: its part `{part}` is missing"
    ):
        complete(specs, NUMBERS)


CHAT, EMBEDDING = SPECS[Operation.CHAT], SPECS[Operation.EMBEDDING]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (replace(CHAT, read=lambda _: Prompt([])), "`read` does not find the text"),
        (replace(CHAT, example=lambda _: {}), "without `messages`"),
        (replace(CHAT, content="prompt"), "`inputs` lacks `prompt`"),
        (replace(CHAT, expected=lambda _: 0), "expects no row"),
        (replace(CHAT, chunk_object=""), "`chunk_object` is missing"),
        (replace(CHAT, units=frozenset()), "`units` is missing"),
        (replace(CHAT, most=lambda _: 0), "it makes tokens"),
        (replace(CHAT, head=lambda _: "other"), "`head` is not the text"),
        (replace(CHAT, number=2), "are not together"),
        (replace(EMBEDDING, most=lambda _: None), "it makes no tokens"),
        (replace(EMBEDDING, path=CHAT.path), "Two operations have one path"),
    ],
)
def test_a_part_that_is_wrong_is_named(wrong: Spec, told: str) -> None:
    with pytest.raises(IncompleteError, match=told):
        complete([wrong if each.name == wrong.name else each for each in SPECS.values()], NUMBERS)


def test_two_specs_of_one_operation_are_none() -> None:
    with pytest.raises(IncompleteError, match="it has two specs"):
        complete([*SPECS.values(), CHAT], NUMBERS)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_fails_at_import(part: str, tmp_path: Path) -> None:
    """The table as it stands, without one line of a spec."""
    text = TABLE.read_text()
    begin = text.index("CHAT = Spec(")
    line = next(line for line in text[begin:].splitlines() if line.startswith(f"    {part}="))
    table = tmp_path / "table.py"
    table.write_text(text[:begin] + text[begin:].replace(line + "\n", "", 1))
    run = subprocess.run([sys.executable, table], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"'{part}'" in run.stderr.splitlines()[-1]
    assert "CHAT = Spec(" in run.stderr


def test_speech_is_bytes_that_nobody_goes_on_with_and_no_tokens() -> None:
    spec = SPECS[Operation.SPEECH]
    assert (spec.path, spec.shape, spec.form) == ("/audio/speech", Shape.MEDIA, Form.BYTES)
    assert [spec.resumable, spec.scrubbable, spec.generates] == [False, False, False]
    assert spec.units == {Unit.INPUT_CHARACTERS, Unit.OUTPUT_SECONDS}


def test_a_picture_is_one_of_n_files_and_no_tokens() -> None:
    spec = SPECS[Operation.IMAGE]
    assert (spec.path, spec.shape, spec.form) == ("/images/generations", Shape.MEDIA, Form.FILE)
    assert [spec.resumable, spec.scrubbable, spec.generates] == [False, False, False]
    assert [spec.expected(body) for body in ({}, {"n": 3}, {"n": "x"})] == [1, 3, 1]
    assert spec.units == {Unit.OUTPUT_IMAGES}


def test_every_unit_is_a_field_of_usage() -> None:
    assert {unit.value for unit in Unit} <= {*inference_pb2.Usage.DESCRIPTOR.fields_by_name}


def test_what_is_known_of_each() -> None:
    known = [SPECS[number] for number in (Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING)]
    assert {spec.name: (spec.path, spec.shape, spec.form, spec.resumable) for spec in known} == {
        "chat": ("/chat/completions", Shape.CHUNKS, Form.MESSAGE, True),
        "completion": ("/completions", Shape.CHUNKS, Form.TEXT, False),
        "embedding": ("/embeddings", Shape.WHOLE, Form.VECTOR, False),
    }
    assert [spec.most({"max_tokens": 7}) for spec in known] == [7, 7, 0]
    assert [spec.most({"max_completion_tokens": 8, "max_tokens": 7}) for spec in known] == [8, 8, 0]
    assert [spec.most({"max_tokens": None}) for spec in known] == [None, 16, 0]
    assert [Unit.COMPLETION_TOKENS in spec.units for spec in known] == [True, True, False]
