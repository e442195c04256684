"""Ollama's routes about models and the server itself."""

from __future__ import annotations

from aiohttp import web
from support.fake_ollama_engine import OllamaEngine
from support.fake_ollama_lines import answering_errors, body_of, iterate, stream_lines
from support.fake_ollama_models import Json, canonical

PULL_STATUSES = ("verifying sha256 digest", "writing manifest", "success")


def catalog_routes(engine: OllamaEngine) -> list[web.RouteDef]:
    catalog = Catalog(engine)
    return [
        web.get("/", catalog.root),
        web.get("/api/version", catalog.version),
        web.get("/api/tags", catalog.tags),
        web.get("/api/ps", catalog.ps),
        web.post("/api/show", answering_errors(catalog.show)),
        web.post("/api/pull", answering_errors(catalog.pull)),
        web.delete("/api/delete", answering_errors(catalog.delete)),
    ]


class Catalog:
    def __init__(self, engine: OllamaEngine) -> None:
        self.engine = engine

    async def root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": self.engine.version})

    async def tags(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [model.tag_row() for model in self.engine.models.values()]})

    async def ps(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [entry.row() for entry in self.engine.loaded]})

    async def show(self, request: web.Request) -> web.Response:
        body = body_of(request)
        return web.json_response(self.engine.find(body.get("model") or body.get("name")).show())

    async def pull(self, request: web.Request) -> web.StreamResponse:
        """Progress of a model in `engine.pullable`; others fail inside the stream."""
        body = body_of(request)
        model = self.engine.pullable.get(canonical(str(body.get("model"))))
        lines: list[Json] = [{"status": "pulling manifest"}]
        if model is None:
            lines.append({"error": self.engine.pull_error})
        else:
            layer = {"status": f"pulling {model.digest[:12]}", "digest": f"sha256:{model.digest}"}
            sizes = (model.size // 2, model.size)
            lines.extend({**layer, "total": model.size, "completed": done} for done in sizes)
            lines.extend({"status": status} for status in PULL_STATUSES)
            self.engine.models[model.name] = model
        if body.get("stream", True):
            return await stream_lines(request, iterate(lines, self.engine.pull_seconds))
        return web.json_response(lines[-1], status=500 if model is None else 200)

    async def delete(self, request: web.Request) -> web.Response:
        model = self.engine.find(body_of(request).get("model"))
        self.engine.unload(model)
        del self.engine.models[model.name]
        return web.Response()
