"""A link opens the one file it was made for, until its time is over, and nothing else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import strategies as st
from nexus_mesh.core import MeshError, Reason
from nexus_store.signing import LONGEST, Link, Signer
from support.properties import given

KEY, NOW = bytes(range(32)), 1_800_000_000.0
LINK = Link("t 1/ä&=", "0123abcd")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def refused(url: str, now: float = NOW, key: bytes = KEY) -> bool:
    with pytest.raises(MeshError) as error:
        Signer(key).verify(url, now)
    assert error.value.reason is Reason.CALLER_KEY
    return True


def test_a_link_opens_its_file() -> None:
    url = Signer(KEY).sign(LINK, NOW, 60)
    assert url.startswith("/v1/store/0123abcd?")
    assert Signer(KEY).verify(url, NOW + 59) == LINK
    assert Signer(KEY).verify("https://mesh.example:8080" + url, NOW) == LINK


def test_its_time_ends() -> None:
    assert refused(Signer(KEY).sign(LINK, NOW, 60), NOW + 60)


@pytest.mark.security
def test_no_other_character_opens_anything() -> None:
    """Each place of the link, changed, left out, doubled."""
    url = Signer(KEY).sign(Link("tenant", "0123abcd"), NOW, 60)
    for at in range(len(url)):
        other = "1" if url[at] != "1" else "2"
        for changed in (
            url[:at] + other + url[at + 1 :],
            url[:at] + url[at + 1 :],
            url[:at] + url[at] + url[at:],
        ):
            if changed != url:
                assert refused(changed)


@pytest.mark.security
@pytest.mark.parametrize(
    "change",
    [
        ("expires=1800000060", "expires=1800009999"),
        ("expires=1800000060", "expires=-1"),
        ("expires=1800000060", "expires=١٨٠٠٠٠٠٠٦٠"),
        ("expires=1800000060", "expires=" + "9" * 400),
        ("tenant=t", "tenant=u"),
        ("signature=", "signature=&signature="),
        ("?", "?tenant=other&"),
        ("?", "?more=1&"),
        ("/v1/store/", "/v1/files/"),
        ("/v1/store/a", "/v1/store/b"),
        ("/v1/store/a", "/v1/store/../store/a"),
        ("signature=", "signature=ä"),
    ],
)  # fmt: skip
def test_what_was_tampered_with_opens_nothing(change: tuple[str, str]) -> None:
    url = Signer(KEY).sign(Link("t", "a"), NOW, 60)
    assert change[0] in url
    assert refused(url.replace(*change, 1))


@pytest.mark.security
@pytest.mark.parametrize(
    "url", ["", "/", "?", "/v1/store/a", "/v1/store/?" * 500, "http://[", "\0", "/v1/store/a?&&&"]
)
def test_what_is_no_link_opens_nothing(url: str) -> None:
    assert refused(url)


def test_another_store_did_not_make_it() -> None:
    assert refused(Signer(KEY).sign(LINK, NOW, 60), key=bytes(32))


@given(TEXT, TEXT, TEXT, TEXT)
def test_no_two_links_share_a_signature(tenant: str, name: str, other_tenant: str, other_name: str) -> None:
    one, two = Link(tenant, name), Link(other_tenant, other_name)
    signer = Signer(KEY)
    assert signer.verify(signer.sign(one, NOW, 60), NOW) == one
    signatures = {signer.sign(link, NOW, 60).rpartition("=")[2] for link in (one, two)}
    assert len(signatures) == len({one, two})


@pytest.mark.parametrize("seconds", [0, -1, LONGEST + 1])
def test_a_link_lives_neither_not_at_all_nor_for_ever(seconds: int) -> None:
    with pytest.raises(MeshError) as error:
        Signer(KEY).sign(LINK, NOW, seconds)
    assert error.value.reason is Reason.INVALID_REQUEST


def test_the_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    url = Signer.of(path).sign(LINK, NOW, 60)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.of(path).verify(url, NOW) == LINK
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        Signer.of(path)
