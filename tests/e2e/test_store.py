"""`nexus up` starts a store where nexus.toml has a table for it, and then pictures may be answered with links."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import openai
from nexus_cli.instances import listed
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import backend
from support.waiting import eventually


async def test_a_table_starts_a_store(tmp_path: Path) -> None:
    async with FakeOpenAI("fake-model") as fake:
        config = backend("box", fake.url) + "[store]\nquota_objects = 7\n"
        async with serving(tmp_path, config, "fake-model", "nexus-painter", painter=True) as mesh:

            async def there() -> bool:
                return "store" in {instance.role for instance in await listed(mesh.layout)}

            await eventually(there, timeout=30, what="the store, registered")
            async with openai.AsyncOpenAI(base_url=mesh.base_url, api_key="none", max_retries=0) as client:
                answer = await client.images.generate(
                    model="nexus-painter", prompt="a red circle", size="64x64", response_format="url"
                )
            async with aiohttp.ClientSession() as session:
                picture = await session.get((answer.data or [])[0].url or "")
                assert picture.status == 200
                assert (await picture.read()).startswith(b"\x89PNG")
