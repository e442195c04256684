"""One engine with models nobody could ask for, beside one that is well."""

from __future__ import annotations

import pytest
from nexus_mesh.rows.limits import MODELS
from nexus_mesh.rows.parts import fitted
from support.adapter_host import HELLO, Bench
from support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.security

ODD = {
    "a control character": ["fine", "a\x00b", "a\x1b[2J"],
    "a long name": ["fine", "x" * 257],
    "thousands": [f"m{number}" for number in range(MODELS + 500)],
    "no name": ["fine", ""],
}


@pytest.mark.parametrize("odd", ODD)
async def test_the_other_engine_and_its_own_good_models_stay(bench: Bench, odd: str) -> None:
    """A3"""
    async with FakeOpenAI("good") as good, FakeOpenAI(*ODD[odd]) as engine:
        well = await bench.serve("openai_compatible", good.url, name="well")
        strange = await bench.serve("openai_compatible", engine.url, name="strange")
        status = bench.board.get()
        assert fitted(status) == status, "the registry has nothing to leave out"
        shown = {one.name: one for one in status.backends}
        assert [model.id for model in shown["well"].models] == ["good"]
        assert shown["strange"].models
        assert all(model.id.isprintable() and model.id for model in shown["strange"].models)
        assert "models" in shown["strange"].state_reason
        assert await bench.complete(well, {**HELLO, "model": "good"})
        first = shown["strange"].models[0].id
        assert await bench.complete(strange, {**HELLO, "model": first})
