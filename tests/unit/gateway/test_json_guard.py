"""The guard before the one JSON parse."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import strategies as st
from nexus_gateway.validation import json_guard
from nexus_gateway.validation.json_guard import MAX_DEPTH, MAX_KEYS, MAX_NODES, MAX_NUMBERS
from nexus_gateway.validation.parse import decode_object
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.core.turns import at_once
from support.properties import examples, given


def nested(depth: int, opener: str = "[", closer: str = "]") -> bytes:
    """An object whose deepest value is `depth` levels down."""
    return b'{"a":' + (opener * (depth - 1)).encode() + (closer * (depth - 1)).encode() + b"}"


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid_json"),
    "blank": (b"  \n", "invalid_json"),
    "cut": (b'{"model":', "invalid_json"),
    "single quotes": (b"{'a':1}", "invalid_json"),
    "trailing comma": (b'{"a":1,}', "invalid_json"),
    "comment": (b'{"a":1/*x*/}', "invalid_json"),
    "trailing junk": (b'{"a":1}x', "invalid_json"),
    "two objects": (b"{}{}", "invalid_json"),
    "lone surrogate": (b'{"a":"\\ud800"}', "invalid_json"),
    "raw line break in a string": (b'{"a":"x\ny"}', "invalid_json"),
    "unbalanced": (b'{"a":[[[}', "invalid_json"),
    "leading zero": (b'{"a":01}', "invalid_json"),
    "bad utf-8": (b'{"a":"\xff\xfe"}', "invalid_utf8"),
    "bad utf-8 in a key": (b'{"\xff":1}', "invalid_utf8"),
    "surrogate as utf-8": (b'{"a":"\xed\xa0\x80"}', "invalid_utf8"),
    "byte order mark": (b'\xef\xbb\xbf{"a":1}', "invalid_utf8"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "invalid_utf8"),
    "utf-16 without mark": ('{"a":1}'.encode("utf-16-le"), "invalid_utf8"),
    "array": (b"[1]", "invalid_type"),
    "string": (b'"x"', "invalid_type"),
    "null": (b"null", "invalid_type"),
    "number": (b"5", "invalid_type"),
    "NaN": (b'{"a":NaN}', "invalid_number"),
    "Infinity": (b'{"a":Infinity}', "invalid_number"),
    "-Infinity": (b'{"a":-Infinity}', "invalid_number"),
    "1e999": (b'{"a":1e999}', "invalid_number"),
    "5000 digits": (b'{"a":' + b"9" * 5000 + b"}", "invalid_number"),
    "65 deep": (nested(MAX_DEPTH + 1), "too_deep"),
    "900 deep": (nested(900), "too_deep"),
    "100000 deep": (nested(100_000), "too_deep"),
    "100000 unclosed": (b"[" * 100_000, "too_deep"),
    "objects 65 deep": (
        nested(MAX_DEPTH + 1, '{"a":', "}")[:-1].replace(b'{"a":}', b'{"a":1}') + b"}",
        "too_deep",
    ),
    "a million strings": (b'{"a":[' + b'"x",' * 999_999 + b'"x"]}', "too_complex"),
    "a million numbers": (b'{"a":[' + b"1," * 999_999 + b"1]}", "too_complex"),
    "numbers among strings": (b'{"a":[' + b'1,"x",' * 49_999 + b"1]}", "too_complex"),
    "a million quotes": (b'{"a":' + b'"",' * 1000 + b'"' * 1_000_000, "too_complex"),
    "a million words": (b'{"a":[' + b"null," * 999_999 + b"1]}", "too_complex"),
    "a million arrays": (b'{"a":[' + b"[]," * 999_999 + b"[]]}", "too_complex"),
    "100000 keys": (json.dumps({str(n): n for n in range(100_000)}).encode(), "too_complex"),
    "1001 keys": (json.dumps({"a": [{str(n): n for n in range(MAX_KEYS + 1)}]}).encode(), "too_complex"),
}


@pytest.mark.security
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    body, code = REFUSED[name]
    with pytest.raises(MeshError) as caught:
        decode_object(body)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata == {"code": code}
    assert len(caught.value.message) < 200


HEAVY = {
    "strings": b'{"a":[' + b'"",' * 1_300_000 + b"1]}",
    "quotes": b'{"a":[' + b"1," * 1000 + b'"' * 4_000_000,
    "escaped quotes": b'{"a":[' + b"1," * 1000 + b'"' + b'\\"' * 2_000_000 + b'"]}',
    "brackets": b'{"a":' + b"[" * 4_000_000,
    "pairs of brackets": b'{"a":[' + b"[]," * 1_300_000 + b"1]}",
    "commas": b'{"a":' + b"," * 4_000_000,
}


@pytest.mark.security
@pytest.mark.parametrize("name", HEAVY)
def test_a_look_costs_no_more_than_the_body(name: str) -> None:
    """A5: a body of quotes alone took 44 times its size before it was refused."""
    body = HEAVY[name]
    tracemalloc.start()
    try:
        with contextlib.suppress(MeshError):
            decode_object(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(body)


ACCEPTED: dict[str, bytes] = {
    "64 deep": nested(MAX_DEPTH),
    "minus zero": b'{"a":-0}',
    "tiny": b'{"a":0.1e-400}',
    "brackets in strings": json.dumps({"a": "[" * 5000 + "{" * 5000 + '\\"' * 500}).encode(),
    "commas in a string": json.dumps({"a": "," * 200_000}).encode(),
    "escaped backslash before a quote": b'{"a":"\\\\","b":"' + b"[" * 200 + b'"}',
    "many nodes": json.dumps({"a": [0] * (MAX_NODES - 10)}).encode(),
    "as many numbers as there may be": json.dumps({"a": [0] * MAX_NUMBERS}).encode(),
    "numbers in lists": json.dumps({"a": [[-1.5e3, 17] * 50] * 2000}).encode(),
    "1000 keys": json.dumps({str(n): n for n in range(MAX_KEYS)}).encode(),
    "siblings are not depth": json.dumps({"a": [[[]]] * 500}).encode(),
    "white space": b' \n{"a" : 1}\t ',
    "big integer": b'{"a":18446744073709551616}',
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    assert decode_object(ACCEPTED[name]) == json.loads(ACCEPTED[name])


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


STRINGS = st.text(alphabet='[]{}",:\\\nab\0é')
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS,
    lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner),
    max_leaves=40,
)


@examples(40)
@given(st.dictionaries(STRINGS, VALUES), st.integers(0, 70))
def test_depth_is_judged_as_a_walk_would(value: dict[str, object], levels: int) -> None:
    deep: object = value
    for _ in range(levels):
        deep = [deep]
    body = json.dumps({"a": deep, "b": [[]] * 70}).encode()
    if depth(json.loads(body)) <= MAX_DEPTH:
        assert decode_object(body) == json.loads(body)
    else:
        with pytest.raises(MeshError, match="deep"):
            decode_object(body)


@examples(100)
@given(st.dictionaries(STRINGS, VALUES), st.integers(1, 9))
def test_a_body_looked_at_in_pieces_is_the_same(
    monkeypatch: pytest.MonkeyPatch, value: dict[str, object], step: int
) -> None:
    """A5: wherever the pieces of a large one end, in strings and escapes too."""
    body = json.dumps({"a": value, "b": "\\" * 9 + '"[{'}, ensure_ascii=False).encode()
    whole = at_once(json_guard._outside_strings(body))
    monkeypatch.setattr(json_guard, "STEP", step)
    assert at_once(json_guard._outside_strings(body)) == whole
    assert (
        whole.count(b"[") + whole.count(b"{")
        == json.dumps(_blank(value)).count("[") + json.dumps(_blank(value)).count("{") + 1
    )


def _blank(value: object) -> object:
    """The same shape without a bracket in its texts."""
    if isinstance(value, dict):
        return {str(place): _blank(each) for place, each in enumerate(value.values())}
    if isinstance(value, list):
        return [_blank(each) for each in value]
    return 0
