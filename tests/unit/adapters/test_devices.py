"""Which devices are managed, and which backends are on which."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import GIB, AdapterSettings
from nexus_inference_adapters.host.memory.devices import device_of, devices_of
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.service import load

CARD = '[[devices]]\nname = "gpu0"\nmemory_gb = 24\n'
MIXED = """
[[backends]]
name = "a"
kind = "ollama"
url = "http://127.0.0.1:1"

[[backends]]
name = "b"
kind = "ollama"
url = "http://127.0.0.1:2"
zone = "restricted"
"""


def settings(tmp_path: Path, text: str = "") -> AdapterSettings:
    path = tmp_path / "nexus.toml"
    path.write_text(text)
    return load(AdapterSettings, ["--config", str(path), "--home", str(tmp_path)])


def backend(name: str, url: str | None = "http://127.0.0.1:11434") -> BackendConfig:
    return BackendConfig(name=name, kind="ollama" if url else "embedded", url=url)


def nvml(*totals: int) -> ModuleType:
    """A stand-in for NVIDIA's library, which needs a card."""
    module = ModuleType("pynvml")
    vars(module).update(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(totals),
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetMemoryInfo=lambda number: SimpleNamespace(total=totals[number]),
    )
    return module


def test_nothing_is_managed_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert devices_of(settings(tmp_path)) == []


def test_what_the_settings_say(tmp_path: Path) -> None:
    text = CARD + 'headroom_gb = 2\n[models."m"]\nmemory_gb = 10\n[adapter]\nmin_residency = 5\n'
    told = settings(tmp_path, text)
    [device] = devices_of(told)
    assert (device.total, device.capacity) == (24 * GIB, 22 * GIB)
    assert (told.memory_of("m"), told.memory_of("n"), told.min_residency) == (10 * GIB, 0, 5)


def test_the_one_card_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(24 * GIB))
    [device] = devices_of(settings(tmp_path))
    assert (device.name, device.total, device.headroom) == ("gpu0", 24 * GIB, GIB)
    assert devices_of(settings(tmp_path, MIXED)) == [], "each zone's process would keep a book of its own"
    monkeypatch.setitem(sys.modules, "pynvml", nvml(24 * GIB, 24 * GIB))
    assert devices_of(settings(tmp_path)) == [], "nobody knows which of them an engine uses"


def test_backends_are_where_they_are_named_or_where_they_run(tmp_path: Path) -> None:
    devices = devices_of(
        settings(tmp_path, CARD + '[[devices]]\nname = "gpu1"\nmemory_gb = 8\nbackends = ["far"]\n')
    )
    rest, named = devices
    assert device_of(backend("far", "http://10.0.0.1:1"), devices) == named
    assert device_of(backend("other", "http://10.0.0.1:1"), devices) is None
    for url in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", None):
        assert device_of(backend("near", url), devices) == rest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CARD + "headroom_gb = 24", "leaves models nothing"),
        (CARD + CARD, "device name must be unique"),
        (CARD + 'backends = ["a"]\n' + CARD.replace("0", "1") + 'backends = ["a"]', "backend in [[devices]]"),
        (CARD + CARD.replace("gpu0", "gpu1"), "only one of [[devices]]"),
        (CARD + 'backends = ["a", "b"]\n' + MIXED, "zones default, restricted"),
        (CARD + MIXED, "zones default, restricted"),
        (CARD + "memory = 1", "memory"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    assert words in str(caught.value)


def test_each_zone_may_have_its_part_of_a_card(tmp_path: Path) -> None:
    parts = 'backends = ["a"]\n' + CARD.replace("gpu0", "gpu0-restricted") + 'backends = ["b"]\n'
    assert len(devices_of(settings(tmp_path, CARD + parts + MIXED))) == 2
