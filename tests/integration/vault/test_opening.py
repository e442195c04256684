"""Opening a vault: founded once, the same ever after, and a clear no to files that do not fit."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from nexus_vault.core import open_core
from nexus_vault.errors import VaultUnusableError
from support.vault import TurnableClock, vault_settings


async def _root(home: Path, **changes: object) -> bytes:
    async with open_core(vault_settings(home, **changes)) as core:
        return core.authority.root_sha256


async def _refusal(home: Path, **changes: object) -> str:
    with pytest.raises(VaultUnusableError) as refusal:
        await _root(home, **changes)
    return refusal.value.message


async def test_a_vault_is_founded_once(tmp_path: Path) -> None:
    assert await _root(tmp_path) == await _root(tmp_path)


async def test_two_vaults_share_nothing(tmp_path: Path) -> None:
    assert await _root(tmp_path / "a") != await _root(tmp_path / "b")


async def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    await _root(tmp_path)
    folder = tmp_path / "vault"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


async def test_the_seal_key_may_live_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "stick" / "seal.key"
    root = await _root(tmp_path / "home", seal_key=elsewhere)
    assert elsewhere.exists()
    assert not (tmp_path / "home" / "vault" / "seal.key").exists()
    assert await _root(tmp_path / "home", seal_key=elsewhere) == root


def _damaged(key: Path) -> None:
    key.write_text("not a key")


def _another(key: Path) -> None:
    key.write_text("A" * 43 + "=")


def _a_folder(key: Path) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, "is missing"),
        (_damaged, "is damaged"),
        (_another, "does not open the store"),
        (_a_folder, "cannot be used"),
    ],
)
async def test_an_unfit_seal_key_is_named(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    root = await _root(tmp_path)
    key = tmp_path / "vault" / "seal.key"
    good = key.read_bytes()
    harm(key)
    message = await _refusal(tmp_path)
    assert said in message
    assert str(key) in message
    shutil.rmtree(key) if key.is_dir() else key.unlink(missing_ok=True)
    key.write_bytes(good)
    assert await _root(tmp_path) == root


def _not_a_database(store: Path) -> None:
    store.write_bytes(b"these are not the bytes of a store" * 200)


def _torn(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


def _from_the_future(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("harm", "said"),
    [(_not_a_database, "cannot be used"), (_torn, "restore a backup"), (_from_the_future, "newer version")],
)
async def test_an_unfit_store_is_named(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    await _root(tmp_path)
    store = tmp_path / "vault" / "vault.db"
    harm(store)
    message = await _refusal(tmp_path)
    assert said in message
    assert str(store) in message


async def test_a_store_of_another_mesh_is_refused(tmp_path: Path) -> None:
    await _root(tmp_path)
    assert "belongs to the mesh nexus.internal" in await _refusal(tmp_path, trust_domain="other.internal")


@pytest.mark.parametrize("target", [("ca-key", "issuing"), ("pepper", "main")], ids=["name", "purpose"])
async def test_a_sealed_record_moved_in_the_store_is_refused(tmp_path: Path, target: tuple[str, str]) -> None:
    await _root(tmp_path)
    move = """update sealed set record = (select record from sealed where purpose = 'ca-key' and name = 'root')
              where purpose = ? and name = ?"""
    with sqlite3.connect(tmp_path / "vault" / "vault.db") as connection:
        assert connection.execute(move, target).rowcount == 1
    connection.close()
    assert "does not open the store" in await _refusal(tmp_path)


async def test_the_issuing_ca_is_renewed_a_month_before_its_end(tmp_path: Path) -> None:
    clock, settings = TurnableClock(), vault_settings(tmp_path)
    async with open_core(settings, clock) as core:
        first = core.authority.issuing.certificate
    clock.turn(days=334)
    async with open_core(settings, clock) as core:
        assert core.authority.issuing.certificate == first
        clock.turn(days=2)
        await core.renew_issuing_if_due(clock())
        second = core.authority.issuing.certificate
        assert second.not_valid_after_utc > first.not_valid_after_utc
        second.verify_directly_issued_by(core.authority.roots[0])
    async with open_core(settings, clock) as core:
        assert core.authority.issuing.certificate.public_bytes(Encoding.DER) == second.public_bytes(
            Encoding.DER
        )
