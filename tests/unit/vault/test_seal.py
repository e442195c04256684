"""P-11: stored secrets cannot be read, changed or moved without notice."""

from __future__ import annotations

import dataclasses
import os

import pytest
from nexus_vault.seal import Label, Seal, SealBrokenError

LABEL = Label("ca-key", "issuing", 2)
OTHERS = (
    dataclasses.replace(LABEL, purpose="pepper"),
    dataclasses.replace(LABEL, name="root"),
    dataclasses.replace(LABEL, version=1),
    Label('ca-key", "issuing', "", 2),
)


@pytest.fixture
def seal() -> Seal:
    return Seal(os.urandom(32))


def test_a_record_opens_under_its_own_label(seal: Seal) -> None:
    assert seal.open(LABEL, seal.seal(LABEL, b"secret")) == b"secret"


def test_every_flipped_byte_is_noticed(seal: Seal) -> None:
    record = seal.seal(LABEL, os.urandom(1024))
    for position in range(len(record)):
        changed = bytearray(record)
        changed[position] ^= 1
        with pytest.raises(SealBrokenError):
            seal.open(LABEL, bytes(changed))


def test_every_truncation_is_noticed(seal: Seal) -> None:
    record = seal.seal(LABEL, b"a private key")
    for length in range(len(record)):
        with pytest.raises(SealBrokenError):
            seal.open(LABEL, record[:length])


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_a_moved_record_is_refused(seal: Seal, other: Label) -> None:
    with pytest.raises(SealBrokenError):
        seal.open(other, seal.seal(LABEL, b"secret"))


def test_another_key_opens_nothing(seal: Seal) -> None:
    with pytest.raises(SealBrokenError):
        Seal(os.urandom(32)).open(LABEL, seal.seal(LABEL, b"secret"))


def test_the_same_secret_never_looks_the_same(seal: Seal) -> None:
    assert len({seal.seal(LABEL, b"secret") for _ in range(100)}) == 100
