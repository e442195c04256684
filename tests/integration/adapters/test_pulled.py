"""The embedded engine with what was pulled: listed, loaded by need or by word, unloaded, deleted; several at once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.config import DeviceConfig
from nexus_inference_adapters.contract import Progress
from nexus_inference_adapters.host import Backend, Lifecycle
from nexus_inference_adapters.store import About
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import HELLO, Bench, adapter_bench
from support.fake_hub import FakeHub, FileServer
from support.waiting import eventually

SHORT = {**HELLO, "max_tokens": 4, "temperature": 0}
NAME = "hf.co/somebody/tiny-gguf:q8_0"


def keep(folder: Path, name: str, weights: Path) -> None:
    """Puts a model where a pull would have."""
    place = folder / name
    place.mkdir(parents=True)
    shutil.copy(weights, place / "model.gguf")
    data = weights.read_bytes()
    about = About(name, hashlib.sha256(data).hexdigest(), len(data), "mit", "a test")
    (place / "about.json").write_bytes(msgspec.json.encode(about))


def ids(backend: Backend) -> list[str]:
    return [offer.model.id for offer in backend.inspection.offers]


def loaded(backend: Backend) -> set[str]:
    return {offer.model.id for offer in backend.inspection.offers if offer.model.loaded}


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, tiny_gguf: Path) -> AsyncIterator[FileServer]:
    behind = FileServer({"tiny-Q8_0.gguf": tiny_gguf.read_bytes()})
    async with behind, FakeHub(behind, "somebody/tiny-gguf") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield behind


async def test_what_is_pulled_is_served_in_the_toys_place(
    bench: Bench, hub: FileServer, tmp_path: Path
) -> None:
    hub.faults = ["cut"]
    backend = await bench.serve("embedded", store=tmp_path / "models")
    assert ids(backend) == ["nexus-demo"]
    steps: list[Progress] = [step async for step in Lifecycle(bench.host).pull(backend.config.name, NAME)]
    assert any("licence mit" in step.phase for step in steps)
    await eventually(lambda: ids(backend) == [NAME], what="the model to be listed")
    assert loaded(backend) == set()
    answer = await bench.complete(backend, SHORT, model=NAME)
    assert answer["model"] == NAME
    assert answer["choices"]
    await eventually(lambda: loaded(backend) == {NAME}, what="the model to be told as loaded")


async def test_several_are_served_beside_each_other(bench: Bench, tiny_gguf: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        keep(tmp_path, name, tiny_gguf)
    backend = await bench.serve("embedded", store=tmp_path)
    assert ids(backend) == ["one", "two"]
    lifecycle, at = Lifecycle(bench.host), backend.config.name
    assert await lifecycle.load(at, "one", None) == ("one", 0)
    await eventually(lambda: loaded(backend) == {"one"}, what="the first to be loaded")
    streamed = await bench.stream(backend, SHORT, model="two")
    assert streamed.finish is not None
    await eventually(lambda: loaded(backend) == {"one", "two"}, what="both to be loaded")
    await lifecycle.unload(at, "one")
    await eventually(lambda: loaded(backend) == {"two"}, what="the first to be unloaded")
    await lifecycle.delete(at, "two")
    await eventually(lambda: ids(backend) == ["one"], what="the second to be gone")
    assert not (tmp_path / "two").exists()


async def test_the_toy_is_not_deleted_and_comes_back_after_the_last(
    bench: Bench, tiny_gguf: Path, tmp_path: Path
) -> None:
    keep(tmp_path, "one", tiny_gguf)
    backend = await bench.serve("embedded", store=tmp_path)
    lifecycle, at = Lifecycle(bench.host), backend.config.name
    await lifecycle.delete(at, "one")
    await eventually(lambda: ids(backend) == ["nexus-demo"], 20.0, "the toy")
    with pytest.raises(MeshError, match="comes with NEXUS") as caught:
        await lifecycle.delete(at, "nexus-demo")
    assert caught.value.reason is Reason.CAPABILITY_MISSING


async def test_a_damaged_one_does_not_hide_the_others(bench: Bench, tiny_gguf: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        keep(tmp_path, name, tiny_gguf)
    (tmp_path / "one" / "model.gguf").write_bytes(b"GIF89a")
    backend = await bench.serve("embedded", store=tmp_path)
    assert ids(backend) == ["two"]
    assert "one cannot be served: it is not a GGUF file" in backend.inspection.reason


async def test_memory_is_asked_for_before_one_is_loaded(tiny_gguf: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        keep(tmp_path, name, tiny_gguf)
    size = tiny_gguf.stat().st_size
    device = DeviceConfig(name="ram", memory_gb=1.9 * size / 2**30 + 0.01, headroom_gb=0.01)
    more = {"devices": (device,), "min_residency": 0.0, "idle_unload": 0.0, "prewarm": ()}
    async with adapter_bench(more) as bench:
        backend = await bench.serve("embedded", store=tmp_path)
        for name in ("one", "two", "one"):
            assert (await bench.complete(backend, SHORT, model=name))["model"] == name
            await eventually(lambda name=name: loaded(backend) == {name}, 20.0, f"{name} alone to be loaded")
        assert backend.inspection.state == instance_pb2.STATE_ACTIVE
