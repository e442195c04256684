"""P-13, P-15: who gets hold of the vault's files, or reads its log, gets no secret."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from nexus_vault.core import open_core
from nexus_vault.join_tokens import DEFAULT_TTL, JoinTokens
from nexus_vault.key_ring import KeyRing
from support.vault import spiffe, vault_settings


def _forms(secret: bytes) -> set[bytes]:
    """A secret as it is, in base64 and in hex."""
    return {
        secret,
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        secret.hex().encode(),
    }


async def test_no_file_but_the_seal_key_and_no_log_holds_a_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries: list[bytes] = []
    files: dict[str, bytes] = {}
    async with open_core(vault_settings(tmp_path)) as core:
        keys, tokens = KeyRing(core.database, core.pepper, "live"), JoinTokens(core.database, core.pepper)
        for number in range(20):
            _, text = await keys.create(f"key {number}", None)
            secret, _ = await tokens.create(spiffe("adapter", f"a{number}"), DEFAULT_TTL)
            canaries += [text.secret.encode(), secret.encode()]
        await tokens.redeem(canaries[1].decode())
        await keys.revoke("key 0")
        private = core.authority.issuing.key
        raw = private.private_numbers().private_value.to_bytes(32, "big")
        canaries += [
            raw,
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            b"PRIVATE KEY",
        ]
        canaries.append(base64.b64decode((tmp_path / "vault" / "seal.key").read_bytes()))
        files |= _files(tmp_path)
    files |= {f"{name} after": content for name, content in _files(tmp_path).items()}
    said = "".join(capfd.readouterr()) + caplog.text
    places = {**files, "log": said.encode()}
    assert {name.removesuffix(" after") for name in files} >= {"vault.db", "vault.db-wal"}
    found = [
        name
        for name, content in places.items()
        for canary in canaries
        for form in _forms(canary)
        if form in content
    ]
    assert found == []


def _files(home: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (home / "vault").iterdir() if file.name != "seal.key"}
