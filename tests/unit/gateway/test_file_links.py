"""A link opens the one file it was made for, until its time is over, and nothing else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import strategies as st
from nexus_gateway.files.links import PATH, Link, Seal
from nexus_mesh.core import MeshError, Reason
from support.attacks import Attacks
from support.properties import given

KEY, NOW = bytes(range(32)), 1_800_000_000
LINK = Link("t 1/ä&=", "0123abcd", NOW + 60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def token(link: Link = LINK, key: bytes = KEY) -> str:
    return Seal(key).sealed(link).removeprefix(PATH)


def refused(text: str, now: float = NOW, key: bytes = KEY) -> str:
    with pytest.raises(MeshError) as error:
        Seal(key).opened(text, now)
    assert error.value.reason is Reason.OBJECT_NOT_FOUND
    return error.value.message


def test_a_link_opens_its_file() -> None:
    assert Seal(KEY).opened(token(), NOW + 59) == LINK


def test_its_time_ends() -> None:
    assert refused(token(), NOW + 60) == refused("no link at all")


@pytest.mark.security
def test_no_other_character_opens_anything(attacks: Attacks) -> None:
    """Each place of the link, changed, left out, doubled."""
    text = token()
    for at in range(len(text)):
        other = "A" if text[at] != "A" else "B"
        for changed in (
            text[:at] + other + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[: at + 1] + text[at:],
        ):
            attacks.count()
            assert changed == text or refused(changed)


@pytest.mark.security
@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "A" * 140,
        "A" * 100_000,
        "\0",
        "ä" * 140,
        token() + "=",
        token() + "!",
        " " + token(),
        token()[:-2],
    ],
)
def test_what_is_no_link_opens_nothing(text: str) -> None:
    assert refused(text)


@pytest.mark.security
def test_what_was_sealed_otherwise_opens_nothing() -> None:
    assert refused(token(key=bytes(32)))
    assert refused(base64.urlsafe_b64encode(base64.urlsafe_b64decode(token())[::-1]).decode())


def test_it_does_not_tell_whose_it_is() -> None:
    content = base64.urlsafe_b64decode(token(Link("tenant-a", "0123abcd", NOW)))
    assert b"tenant" not in content
    assert b"0123" not in content


@given(TEXT, TEXT)
def test_whatever_names_there_are(tenant: str, name: str) -> None:
    link = Link(tenant, name, NOW + 1)
    assert Seal(KEY).opened(token(link), NOW) == link
