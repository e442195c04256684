"""`make comfyui`: the adapter at a real ComfyUI, on a CPU, with a tiny checkpoint of random weights.

It wants the folder of ComfyUI's public source and an interpreter with its requirements; 0.8.0 was tried. Its frontend
and templates need not be there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from comfyui.recording import record, record_kill
from comfyui.server import ComfyUIServer, comfyui
from nexus_inference_adapters.contract import Event, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench, envelope
from support.comfyui_recordings import of_prompts, recording
from support.painted import edited, gathered, mask_file, picture_file
from support.seen import seen
from support.waiting import eventually

RECORDED = "comfyui-0.8.0-sampler.jsonl"
CANCEL_SECONDS = 1.0
SLOW = {"size": "256x256", "steps": 200}
Json = dict[str, Any]
Step = Callable[[Backend, ComfyUIServer], Awaitable[str]]


def _asked(backend: Backend, **more: Any) -> AsyncIterator[Event]:
    body: Json = {"model": "tiny", "prompt": "a fox", "size": "256x256", "steps": 3, "seed": 1, **more}
    return backend.stream(envelope(backend, body, "image"), body)


async def _queue(server: ComfyUIServer) -> Json:
    async with aiohttp.ClientSession(server.url) as session, session.get("/queue") as response:
        return await response.json()


async def _size(server: ComfyUIServer) -> int:
    return sum(len(each) for each in (await _queue(server)).values())


async def paints(backend: Backend, _: ComfyUIServer) -> str:
    """Text to image, with progress and two looks; the same seed again is the same picture."""
    pictures: list[bytes] = []
    steps: list[int] = []
    for _again in range(2):
        kinds: list[int | None] = []
        steps, data, whole = [], b"", b""
        async for event in _asked(backend, partial_images=2, lora_name="tiny-style.safetensors"):
            if isinstance(event, Media):
                data += event.data
                if event.last:
                    assert seen(data).codec == "png"
                    kinds.append(event.preview)
                    whole, data = data, b""
            elif isinstance(event, Progress) and event.unit == "steps":
                steps.append(event.done)
        assert steps == [1, 2, 3] or (not steps and len(pictures) == 1), steps
        assert kinds[-1] is None
        pictures.append(whole)
    assert pictures[0] == pictures[1]
    return f"{len(pictures[0])} bytes, twice the same"


async def takes_back_one_of_three(backend: Backend, server: ComfyUIServer) -> str:
    """The one that runs: it is gone within a second of a step, and the two that wait run on."""
    tasks = []
    for seed in range(3):
        more = SLOW if not seed else {"steps": 1}
        tasks.append(asyncio.create_task(_drained(_asked(backend, **{**more, "seed": 100 + seed}))))
        await eventually(lambda: _is(server, len(tasks)), 20)
    await asyncio.sleep(3)
    first = (await _queue(server))["queue_running"][0][1]
    begun = time.monotonic()
    tasks[0].cancel()
    with suppress(asyncio.CancelledError):
        await tasks[0]
    asked = time.monotonic() - begun
    assert asked < CANCEL_SECONDS, asked
    await eventually(lambda: _is_other(server, first), 30, "the next one to run")
    freed = time.monotonic() - begun
    assert await asyncio.gather(*tasks[1:]) == [1, 1]
    return f"taken back in {asked * 1000:.0f} ms, the next one ran after {freed:.1f} s, two of two came"


async def _is(server: ComfyUIServer, count: int) -> bool:
    return await _size(server) == count


async def _is_other(server: ComfyUIServer, prompt: str) -> bool:
    running = (await _queue(server))["queue_running"]
    return not running or running[0][1] != prompt


async def _drained(events: AsyncIterator[Event]) -> int:
    return sum([isinstance(event, Media) and event.last async for event in events])


async def edits(backend: Backend, _: ComfyUIServer) -> str:
    """A picture changed as a whole, and where a mask shows."""
    picture, mask = picture_file(1, 64, 64), mask_file(64, 64)
    body: Json = {"model": "tiny", "prompt": "a fox", "steps": 2, "seed": 1}
    sizes = []
    for files in ([("image", picture)], [("image", picture), ("mask", mask)]):
        made, _told = await gathered(edited(backend, body, files))
        sizes += [json.loads(each.json)["size"] for each in made]
    assert sizes == ["64x64"] * 2
    return "with a mask and without"


async def refuses(backend: Backend, _: ComfyUIServer) -> str:
    """A sampler there is not, with those there are."""
    with pytest.raises(MeshError, match="euler") as caught:
        await _drained(_asked(backend, sampler="best"))
    assert caught.value.reason is Reason.INVALID_REQUEST
    return caught.value.message[:60]


async def frees(backend: Backend, _: ComfyUIServer) -> str:
    """Memory is given back when it is asked for."""
    await backend.unload(backend.offer("tiny"))
    assert await _drained(_asked(backend, steps=1, seed=9)) == 1
    return "unloaded, loaded again"


async def survives_a_kill(backend: Backend, server: ComfyUIServer) -> str:
    """In the middle of a picture: a failure that says so, and the next one is painted."""
    events = _asked(backend, **SLOW, seed=50)
    async for event in events:
        if isinstance(event, Progress) and event.unit == "steps":
            break
    begun = time.monotonic()
    server.kill()
    with pytest.raises(MeshError) as caught:
        await _drained(events)
    assert caught.value.reason in (Reason.BACKEND_LOST, Reason.BACKEND_DOWN), caught.value.reason
    told = time.monotonic() - begun
    await asyncio.to_thread(server.start)
    backend.look_now.set()
    assert await _drained(_asked(backend, steps=1, seed=51)) == 1
    return f"told after {told:.1f} s"


async def records(_: Backend, server: ComfyUIServer) -> str:
    """The frames of a new recording are those of the one the fake is held to."""
    path = server.work / "recording.jsonl"
    await record(server.url, path)
    made = [json.loads(line) for line in path.read_text().splitlines()]
    new, old = (list(of_prompts(lines).values()) for lines in (made, recording(RECORDED)))
    # What ran before decides what is cached, so the first prompt of a used server differs; the last ones do not.
    assert [frames[0] for frames in new] == [frames[0] for frames in old]
    assert new[-1] == old[-1]
    return f"{len(made)} lines"


STEPS: tuple[Step, ...] = (paints, edits, takes_back_one_of_three, refuses, frees, survives_a_kill, records)


async def _run(server: ComfyUIServer) -> int:
    failed = 0
    async with adapter_bench(first_token=300.0, total=900.0) as bench:
        backend = await bench.serve("comfyui", server.url, max_concurrency=3)
        for step in STEPS:
            try:
                print(f"ok {step.__name__}: {await step(backend, server)}", flush=True)
            except (AssertionError, MeshError, TimeoutError) as error:
                failed += 1
                print(f"FAILED {step.__name__}: {error!r}", flush=True)
    print(f"\n{len(STEPS) - failed} passed, {failed} failed")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="make comfyui", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="the folder of ComfyUI's source")
    parser.add_argument("--python", type=Path, required=True, help="an interpreter with its requirements")
    parser.add_argument(
        "--record", type=Path, help="only write a recording there, of a server that was just started"
    )
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="nexus-comfyui-") as work,
        comfyui(args.source, args.python, Path(work)) as server,
    ):
        if args.record is None:
            return asyncio.run(_run(server))
        asyncio.run(record(server.url, args.record))
        asyncio.run(record_kill(server.url, args.record.with_suffix(".killed.jsonl"), server.kill))
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
