"""A fake Ollama 0.32 server.

async with FakeOllama() as fake:
    fake.engine.answer = "four words are enough"
    fake.engine.fail_after = 2  # an error line after two words, with status 200
    fake.engine.loads           # [("llama3.2:latest", 4096)]
    fake.paths                  # ["/api/chat"]: proof that nobody used /v1
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest
from aiohttp import web
from support.fake_ollama_catalog import catalog_routes
from support.fake_ollama_engine import OllamaEngine
from support.fake_ollama_models import DEFAULT_MODELS, OllamaModel
from support.fake_ollama_native import inference_routes
from support.fake_ollama_v1 import v1_routes
from support.fake_server import FakeServer


class FakeOllama(FakeServer):
    """Everything a test may set or read is on `engine`, everything about requests on the fake itself."""

    def __init__(self, models: Iterable[OllamaModel] = DEFAULT_MODELS) -> None:
        super().__init__()
        self.engine = OllamaEngine(models)

    def routes(self) -> Iterable[web.RouteDef]:
        return [*catalog_routes(self.engine), *inference_routes(self.engine), *v1_routes(self.engine)]


@pytest.fixture
async def fake_ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake
