"""The operator's folder: filled at start, renewed at half-life, healed when damaged."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from nexus_mesh.identity import tls
from nexus_vault.ca.issue import IssuingAuthority
from nexus_vault.core import Core
from nexus_vault.operator_identity import OperatorIdentity
from support.vault import TurnableClock, spiffe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "operator"


@pytest.fixture
def operator(core: Core, folder: Path, clock: TurnableClock) -> OperatorIdentity:
    return OperatorIdentity(folder, core.authority, spiffe("operator", "local"), clock)


def _leaf(folder: Path) -> x509.Certificate:
    material = tls.load(folder)
    assert material is not None
    return material.leaf()


def test_the_folder_holds_a_usable_identity(core: Core, folder: Path, operator: OperatorIdentity) -> None:
    operator.refresh()
    material = tls.load(folder)
    assert material is not None
    assert str(tls.Identity(material).spiffe) == str(spiffe("operator", "local"))
    assert material.bundle_pem == core.authority.bundle_pem
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {
        "key.pem": 0o600,
        "chain.pem": 0o600,
        "bundle.pem": 0o600,
    }


def test_it_is_renewed_in_the_second_half_of_its_life(
    folder: Path, operator: OperatorIdentity, clock: TurnableClock
) -> None:
    operator.refresh()
    first, key = _leaf(folder), (folder / "key.pem").read_bytes()
    clock.turn(hours=11, minutes=59)
    operator.refresh()
    assert _leaf(folder) == first
    clock.turn(minutes=2)
    operator.refresh()
    assert _leaf(folder).not_valid_after_utc > first.not_valid_after_utc
    assert (folder / "key.pem").read_bytes() == key


@pytest.mark.parametrize("name", ["key.pem", "chain.pem", "bundle.pem"])
@pytest.mark.parametrize(
    "content", [None, b"", b"damaged", tls.new_key()], ids=["gone", "empty", "damaged", "other"]
)
def test_it_heals(folder: Path, operator: OperatorIdentity, name: str, content: bytes | None) -> None:
    operator.refresh()
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    operator.refresh()
    material = tls.load(folder)
    assert material is not None
    request = x509.load_der_x509_csr(tls.certificate_request(material.key_pem))
    assert request.public_key() == material.leaf().public_key()


def test_one_of_another_ca_is_replaced(
    core: Core, folder: Path, operator: OperatorIdentity, clock: TurnableClock
) -> None:
    operator.refresh()
    first = _leaf(folder)
    other = IssuingAuthority(
        "nexus.internal", core.authority.roots * 2, core.authority.issuing, datetime.timedelta(hours=1)
    )
    OperatorIdentity(folder, other, spiffe("operator", "local"), clock).refresh()
    assert _leaf(folder) != first
