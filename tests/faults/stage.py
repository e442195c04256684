"""Sets the scene: two adapters, each with a backend of its own and half of the crowd behind it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from faults.models import ADAPTERS, CROWD_MODELS, RESUMED, SHARED, solo
from faults.scene import LIMITS, Scene
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import backend
from support.tcp_proxy import TcpProxy

__all__ = ["playing"]

ZONES = {"a": "default", "b": "other"}
ROUTING = f'[routing]\nresume = ["{RESUMED}"]\n'
CAPABILITIES = ["tools", "json", "logprobs", "choices", "tool_choice", "prefill"]


@asynccontextmanager
async def playing(home: Path) -> AsyncIterator[Scene]:
    """A scene whose mesh runs and serves everything."""
    async with AsyncExitStack() as stack:
        fakes = {
            victim: await stack.enter_async_context(FakeOpenAI(solo(victim), *SHARED)) for victim in ADAPTERS
        }
        links = {
            victim: await stack.enter_async_context(TcpProxy(f"127.0.0.1:{fake.port}"))
            for victim, fake in fakes.items()
        }
        crowd = await stack.enter_async_context(FakeOpenAI(*CROWD_MODELS))
        crowd_links = {
            victim: await stack.enter_async_context(TcpProxy(f"127.0.0.1:{crowd.port}")) for victim in fakes
        }
        tables = [
            backend(f"box-{victim}", f"http://{link.endpoint}", zone=ZONES[victim], capabilities=CAPABILITIES)
            for victim, link in links.items()
        ]
        tables += [
            backend(name, f"http://{crowd_links[victim].endpoint}", zone=ZONES[victim], models=[name])
            for name, victim in zip(CROWD_MODELS, itertools.cycle(ADAPTERS), strict=False)
        ]
        config = "\n".join([LIMITS, ROUTING, *tables])
        mesh = await stack.enter_async_context(
            serving(home, config, *SHARED, *map(solo, ADAPTERS), *CROWD_MODELS)
        )
        scene = Scene(mesh, fakes, links, crowd, crowd_links)
        await scene.ready()
        stack.push_async_callback(scene.quiet)
        yield scene
