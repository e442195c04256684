"""Patterns of clients, whatever they look like, are read in one go."""

from __future__ import annotations

import pytest
from nexus_gateway.validation.pattern import trouble

LONG = 100_000
"""Characters: what is read anew from each of them on takes many minutes."""


@pytest.mark.security
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "part", ["[", "[a", "[\\]", "[^", "(", "(?<", "(?:", "{", "{1", "{1,", "\\", "a*", "(a|"]
)
def test_a_pattern_is_read_in_one_go(part: str) -> None:
    """D3: one schema of a thousand such patterns of 4096 characters stopped the gateway for half an hour."""
    trouble(part * (LONG // len(part)))
    trouble("{" + "9" * LONG)


@pytest.mark.parametrize("pattern", ["[]", "[^]a]", "[a", "[]a](b)", "[](b)", r"[\]]+", "(a[)])"])
def test_classes_are_read_as_lightly_as_before(pattern: str) -> None:
    """Whoever compiles it decides; here nothing certain is wrong with them."""
    assert trouble(pattern) == ""
