"""What counts as personal data in a text, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from nexus_gateway.scrubbing.findings import find
from support.properties import examples, given

FOUND = {
    "bob.o'neil+x@sub.example.co.uk": "email",
    "jürgen@exämple.de": "email",
    "4111 1111 1111 1111": "card",
    "4111111111111111": "card",
    "3782-822463-10005": "card",
    "４１１１ １１１１ １１１１ １１１１": "card",
    "DE89 3704 0044 0532 0130 00": "iban",
    "gb82west12345698765432": "iban",
    "536-90-4399": "ssn",
    "+49 170 1234567": "phone",
    "(519) 236-2723": "phone",
    "020 7946 0958": "phone",
    "10.1.2.3": "ip",
    "2001:db8::1": "ip",
    "sk-abcdefghijklmnop1234": "secret",
    "nx_live_abcdefghijkl_" + "s" * 43: "secret",
    "ghp_" + "a1" * 18: "secret",
    "AKIAIOSFODNN7EXAMPLE": "secret",
    "password: hunter22": "secret",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----": "secret",
}
NOTHING = (
    "The quick brown fox jumps over the lazy dog.",
    "At 10:20:30 on 2024-01-02, version 1.2.3 took 0.25 s for 1,000,000 rows.",
    "4111 1111 1111 1112",
    "DE89 3704 0044 0532 0130 02",
    "999.1.2.3",
    "tom@home",
    "localhost is 127.0.0.1",
    "π ≈ 3.14159265",
)


@pytest.mark.parametrize("around", ["{}", "It is {}.", "({})", "x: {}, y", "{}\nnext", "„{}“"])
@pytest.mark.parametrize("value", FOUND)
def test_a_value_is_found_whole_wherever_it_stands(value: str, around: str) -> None:
    text = around.format(value)
    (found,) = find(text)
    assert (value in text[found.start : found.end], found.kind) == (True, FOUND[value])
    assert found.end - found.start <= len(value) + 2, "a bracket or a full stop may go with it, no word"


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert find(text) == []


def test_several_in_a_row_are_told_apart() -> None:
    text = "4111 1111 1111 1111 5500 0000 0000 0004 a@b.example IBAN DE89370400440532013000 BIC X"
    assert [each.kind for each in find(text)] == ["card", "card", "email", "iban"]


@examples(300)
@given(st.lists(st.sampled_from([*FOUND, " ", "-", ".", "7", "a", "@", "+1"]), max_size=6).map("".join))
def test_findings_stand_in_order_and_apart(text: str) -> None:
    found = find(text)
    ends = [0, *(each.end for each in found)]
    assert all(end <= each.start < each.end <= len(text) for end, each in zip(ends, found, strict=False))
