"""B6: the demo model is for an empty machine; it is never served beside real engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.app import open_adapter
from nexus_inference_adapters.config import MODEL_FILE, AdapterSettings, StaticBackend
from nexus_inference_adapters.discovery.finding import Rescan
from nexus_mesh.process.mesh import Mesh
from support.ca import MeshCA
from support.control_plane import settings_of
from support.fake_openai import FakeOpenAI
from support.waiting import eventually


def adapter(home: Path, *backends: StaticBackend, **more: object) -> Mesh[AdapterSettings]:
    settings = settings_of(AdapterSettings, home=home, demo=True, backends=backends, **more)
    return Mesh(settings, MeshCA().identity("adapter"))


def names(mesh: Mesh[AdapterSettings]) -> list[str]:
    return [backend.name for backend in mesh.status.get().backends]


async def test_with_nothing_else_the_demo_is_served(tmp_path: Path) -> None:
    async with adapter(tmp_path) as mesh, open_adapter(mesh):
        assert names(mesh) == [MODEL_FILE]


@pytest.mark.parametrize("zone", [None, "restricted"])
async def test_a_configured_backend_of_any_zone_leaves_no_room_for_it(
    tmp_path: Path, zone: str | None
) -> None:
    """Here the other zone's adapter serves it; and a dead engine is to be seen, not papered over."""
    box = StaticBackend(name="box", kind="openai_compatible", url="http://127.0.0.1:9", zone=zone)
    async with adapter(tmp_path, box) as mesh, open_adapter(mesh):
        assert names(mesh) == ([] if zone else ["box"])
        assert all(one.state != instance_pb2.STATE_ACTIVE for one in mesh.status.get().backends)


async def test_it_leaves_when_an_engine_is_found_later(
    tmp_path: Path, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = StaticBackend(name="vllm-8000", kind="openai_compatible", url=fake_openai.url, origin="discovery")
    listening: list[StaticBackend] = []

    async def discovered(*_: object) -> list[StaticBackend]:
        return listening

    monkeypatch.setattr("nexus_inference_adapters.discovery.finding.discover", discovered)
    monkeypatch.setattr(Rescan.run, "__defaults__", (0.05,))
    async with adapter(tmp_path, discovery=True, mdns="off") as mesh, open_adapter(mesh):
        assert names(mesh) == [MODEL_FILE]
        listening.append(found)
        await eventually(lambda: names(mesh) == ["vllm-8000"], what="the demo leaving")
