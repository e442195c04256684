"""Runs the clients made from protos/ alone, at a mesh that is started for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clients.building import Built
from nexus_cli.instances import listed
from support import fake_openai_modes as modes
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.waiting import eventually

__all__ = ["STEPS", "run_generated"]

MODEL, SLOW = "fake-model", "slow-model"
STEPS = ["complete", "stream", "cancel", "error details"]
SECONDS = 60.0


async def run_generated(built: dict[str, Built], home: Path) -> list[bool]:
    async with FakeOpenAI(MODEL, SLOW) as fake, live_mesh(home, backend("box", fake.url)) as mesh:
        fake.model_modes[SLOW] = modes.ok(tokens=600, interval=0.1)
        return [
            held for language, client in built.items() for held in await _run(language, client, mesh, fake)
        ]


async def _run(language: str, client: Built, mesh: LiveMesh, fake: FakeOpenAI) -> list[bool]:
    gateway = next(each for each in await listed(mesh.layout) if each.role == "gateway")
    arguments = (gateway.address, gateway.server_name, str(mesh.layout.operator), MODEL, SLOW)
    process = await asyncio.create_subprocess_exec(
        *client.command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
    lines = output.decode().splitlines()
    results = [f"held: {step}" in lines for step in STEPS]
    if all(results):
        results[STEPS.index("cancel")] = await _backend_saw_it(fake)
    for step, held in zip(STEPS, results, strict=True):
        print(f"{'ok' if held else 'FAILED':6} {language}: {step}")
    if not all(results):
        print(*lines[-20:], sep="\n")
    return results


async def _backend_saw_it(fake: FakeOpenAI) -> bool:
    """Whether the cancelled stream was given up at the backend too, and not only by the client."""
    try:
        await eventually(
            lambda: [each for each in fake.calls if each.body["model"] == SLOW][-1].cancelled,
            what="cancelling",
        )
    except TimeoutError:
        return False
    return True
