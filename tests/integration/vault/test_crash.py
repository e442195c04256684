"""kill -9 in the midst of work: what was promised holds, and the store opens without repair."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import pytest
from nexus_mesh.core.errors import MeshError
from nexus_vault.core import open_core
from nexus_vault.join_tokens import JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.trust import Trust
from support.processes import start
from support.vault import vault_settings
from support.waiting import eventually

CHILD = Path(__file__).with_name("crash_child.py")


@pytest.mark.parametrize("lines", [1, 40, 41, 42, 43])
async def test_promises_survive_kill_9(tmp_path: Path, lines: int) -> None:
    log = tmp_path / "promises.txt"
    child = start([sys.executable, CHILD, tmp_path], log)
    try:
        await eventually(
            lambda: log.read_bytes().count(b"\n") >= lines or not child.alive, 60, "the promises"
        )
        assert child.alive, child.output()
    finally:
        child.kill()
    await _check(tmp_path, _promises(log))


def _promises(log: Path) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = defaultdict(list)
    for line in log.read_text().splitlines(keepends=True):
        word, _, rest = line.partition(" ")
        if line.endswith("\n") and word in ("created", "revoked", "redeemed", "denied"):
            kept[word].append(rest.strip())
    return kept


async def _check(home: Path, promises: dict[str, list[str]]) -> None:
    async with open_core(vault_settings(home)) as core:
        keys, tokens = KeyRing(core.database, core.pepper, "live"), JoinTokens(core.database, core.pepper)
        trust = Trust(core.database, core.authority)
        await keys.load()
        await trust.load()
        # The last key may have been revoked without the promise having been heard.
        for text in set(promises["created"][:-1]) - set(promises["revoked"]):
            assert keys.authenticate(text).revoke_time is None
        for text in promises["revoked"]:
            with pytest.raises(MeshError):
                keys.authenticate(text)
        for secret in promises["redeemed"]:
            with pytest.raises(MeshError):
                await tokens.redeem(secret)
        assert set(promises["denied"]) <= trust.current.value.denied
        await keys.create("after the crash", None)
