"""S-07: the text of an API key."""

from __future__ import annotations

import re

import pytest
from nexus_vault.keys import KeyText

GOOD = f"nx_live_{'a1' * 6}_{'Z-_9' * 10}abc"
BAD = (
    "",
    GOOD + "a",
    GOOD[:-1],
    GOOD + "\n",
    GOOD.upper(),
    GOOD.replace("nx_", "sk_"),
    GOOD.replace("live", "li'e"),
    GOOD.replace("live", ""),
    GOOD.replace("Z", "é"),
    "nx_live_' OR 1=1 --_" + "a" * 43,
    "x" * 10_240,
)


def test_a_new_key_has_the_form() -> None:
    text = str(KeyText.new("live"))
    assert re.fullmatch(r"nx_live_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", text)
    assert str(KeyText.parse(text)) == text


def test_new_keys_differ() -> None:
    keys = [KeyText.new("live") for _ in range(1000)]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 1000


def test_the_parts_are_read() -> None:
    assert KeyText.parse(GOOD) == KeyText("live", "a1" * 6, "Z-_9" * 10 + "abc")


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_anything_else_is_no_key(text: str) -> None:
    assert KeyText.parse(text) is None


def test_printing_a_key_text_for_debugging_hides_the_secret() -> None:
    text = KeyText.new("live")
    assert text.secret not in repr(text)
