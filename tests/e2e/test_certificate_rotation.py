"""Certificates of ten seconds, two minutes of load: nobody notices."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from support import fake_openai_modes as modes
from support.fake_openai import FakeOpenAI
from support.live_mesh import backend, live_mesh
from support.load import load

LIFE_SECONDS = 10
LOAD_SECONDS = 120
SERVICES = ("gateway", "registry", "router", "vault", "adapter")


@pytest.mark.timeout(400)
async def test_ten_second_certificates_fail_no_request_and_cut_no_stream(tmp_path: Path) -> None:
    async with FakeOpenAI("short", "long") as engine:
        engine.model_modes["long"] = modes.ok(150, interval=0.1)  # longer than a certificate lives
        config = f"[vault]\ncertificate_ttl = {LIFE_SECONDS}\n" + backend("box", engine.url)
        async with live_mesh(tmp_path, config) as mesh:
            async with (
                load(mesh.base_url, "short", unary=8, streams=4) as short,
                load(mesh.base_url, "long", unary=0, streams=20) as long,
            ):
                await asyncio.sleep(LOAD_SECONDS)
            rotations = {
                name: len(re.findall("certificate renewed", mesh.layout.log(name).read_text()))
                for name in SERVICES
            }
    print(f"{LIFE_SECONDS} s certificates: short {short}; long {long}; rotations {rotations}")
    assert not short.failures
    assert not long.failures
    assert long.streams >= 20 * (LOAD_SECONDS // 20)
    assert min(rotations.values()) >= 10
