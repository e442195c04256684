"""What an adapter knows of its backends when it opens, which is when it registers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.app import open_adapter
from nexus_inference_adapters.config import AdapterSettings, StaticBackend
from nexus_mesh.process.mesh import Mesh
from support.ca import MeshCA
from support.control_plane import settings_of
from support.fake_openai import FakeOpenAI

PATIENCE = "nexus_inference_adapters.app.FIRST_LOOK_SECONDS"


@asynccontextmanager
async def opened(home: Path, fake: FakeOpenAI) -> AsyncIterator[instance_pb2.Backend]:
    box = StaticBackend(name="box", kind="openai_compatible", url=fake.url)
    settings = settings_of(AdapterSettings, home=home, backends=(box,))
    async with Mesh(settings, MeshCA().identity("adapter")) as mesh, open_adapter(mesh):
        (backend,) = mesh.status.get().backends
        yield backend


async def test_an_adapter_knows_its_models_before_anybody_knows_of_it(
    fake_openai: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes back without them would have requests for them refused as unknown."""
    monkeypatch.setattr(PATIENCE, 60.0)
    async with opened(tmp_path, fake_openai) as backend:
        assert [model.id for model in backend.models] == ["fake-model"]


async def test_an_adapter_does_not_wait_for_ever(
    fake_openai: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PATIENCE, 0.0)
    async with opened(tmp_path, fake_openai) as backend:
        assert backend.state == instance_pb2.STATE_STARTING
