"""`nexus up` starts a store where nexus.toml has a table for it."""

from __future__ import annotations

from pathlib import Path

from nexus_cli.instances import listed
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import backend
from support.waiting import eventually


async def test_a_table_starts_a_store(tmp_path: Path) -> None:
    async with FakeOpenAI("fake-model") as fake:
        config = backend("box", fake.url) + "[store]\nquota_objects = 7\n"
        async with serving(tmp_path, config, "fake-model") as mesh:

            async def there() -> bool:
                return "store" in {instance.role for instance in await listed(mesh.layout)}

            await eventually(there, timeout=30, what="the store, registered")
