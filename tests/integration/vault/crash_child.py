"""Run as a program: uses the vault in a home without pause, and prints a line for each promise it got."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from nexus_mesh.identity.spiffe import SpiffeId
from nexus_mesh.settings.service import load
from nexus_vault.config import VaultSettings
from nexus_vault.core import open_core
from nexus_vault.join_tokens import DEFAULT_TTL, JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.trust import Trust


def _promised(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def _work(home: Path) -> None:
    async with open_core(load(VaultSettings, ["--home", str(home)])) as core:
        keys, tokens = KeyRing(core.database, core.pepper, "live"), JoinTokens(core.database, core.pepper)
        trust = Trust(core.database, core.authority)
        for number in range(sys.maxsize):
            _, text = await keys.create(f"key {number}", None)
            _promised("created", str(text))
            if number % 2:
                await keys.revoke(text.id)
                _promised("revoked", str(text))
            spiffe = SpiffeId("nexus.internal", "default", "box", "adapter", f"a{number}")
            secret, _ = await tokens.create(spiffe, DEFAULT_TTL)
            await tokens.redeem(secret)
            _promised("redeemed", secret)
            await trust.deny(spiffe, "", "operator")
            _promised("denied", str(spiffe))


if __name__ == "__main__":
    asyncio.run(_work(Path(sys.argv[1])))
