"""Films of the painter at work: as long and large as was asked, out of the noise, and the same again by that."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from nexus_inference_adapters.contract.work import Media
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from numpy.typing import NDArray
from support.adapter_host import Bench, Streamed, adapter_bench

BODY: dict[str, Any] = {
    "prompt": "a red circle on a blue background",
    "seconds": "1",
    "size": "128x128",
    "seed": 7,
}
Pixels = NDArray[np.uint8]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with adapter_bench() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(bench: Bench) -> Backend:
    return await bench.serve("painter")


pytestmark = pytest.mark.asyncio(loop_scope="module")


def outputs(made: Streamed) -> dict[int | None, tuple[bytes, Media]]:
    """By their number of a preview: the bytes, and the last message of each."""
    found: dict[int | None, tuple[bytes, Media]] = {}
    for media in made.media:
        data, _ = found.get(media.preview, (b"", media))
        found[media.preview] = data + media.data, media
    return found


def frames(data: bytes) -> list[Pixels]:
    with av.open(io.BytesIO(data), "r") as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def centre(picture: Pixels) -> Pixels:
    return picture[60:68, 60:68].mean(axis=(0, 1))


async def test_it_comes_out_of_the_noise(bench: Bench, backend: Backend) -> None:
    made = await bench.stream(backend, {**BODY, "seconds": "2"}, "video")
    still, sheet, film = outputs(made)[0], outputs(made)[1], outputs(made)[None]
    assert [made.media[0].mime_type, sheet[1].preview] == ["image/webp", 1]
    assert json.loads(still[1].json)["variant"] == "thumbnail"
    assert json.loads(sheet[1].json)["variant"] == "spritesheet"
    facts = json.loads(film[1].json)
    assert facts == {"size": "128x128", "seconds": "2", "id": "noise-7", "seed": 7}
    shown = frames(film[0])
    assert len(shown) == 24
    assert {each.shape for each in shown} == {(128, 128, 3)}
    with av.open(io.BytesIO(film[0]), "r") as container:
        assert float(container.streams.video[0].average_rate or 0) == 12
    red, _, blue = centre(shown[-1])
    assert red > 150 > blue, "the circle"
    last = [float(np.abs(each.astype(int) - shown[-1]).mean()) for each in shown]
    assert last[0] > 10 > last[-2], "it changes, and comes to rest"
    [picture] = frames(still[0])
    assert float(np.abs(picture.astype(int) - shown[-1]).mean()) < 8
    assert frames(sheet[0])[0].shape == (128, 128, 3)
    assert [(each.done, each.total) for each in made.progress if each.total][-1] == (24, 25)
    assert made.finish is not None
    assert made.finish.usage is not None
    assert made.finish.usage.output_seconds == 2


async def test_the_same_noise_makes_the_same_film_and_another_of_another_prompt(
    bench: Bench, backend: Backend
) -> None:
    first = outputs(await bench.stream(backend, BODY, "video"))[None][0]
    assert outputs(await bench.stream(backend, BODY, "video"))[None][0] == first
    other = {**BODY, "prompt": "a green square", "remix_video_id": "noise-7"}
    del other["seed"]
    remixed = outputs(await bench.stream(backend, other, "video"))[None]
    assert json.loads(remixed[1].json)["id"] == "noise-7"
    assert remixed[0] != first


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too long": ({"seconds": "5"}, "seconds"), "too large": ({"size": "512x512"}, "size"),
    "no noise": ({"remix_video_id": "video_1"}, "remix_video_id"), "a dragon": ({"prompt": "a dragon"}, "prompt"),
    "a picture": ({"input_reference": {"image_url": "data:,"}}, "input_reference"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_it_cannot_is_refused_by_name(bench: Bench, backend: Backend, what: str) -> None:
    more, param = REFUSED[what]
    with pytest.raises(MeshError) as caught:
        await bench.stream(backend, {**BODY, **more}, "video")
    assert caught.value.reason in (Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER)
    assert caught.value.metadata["param"] == param
