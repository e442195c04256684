"""A fake server with POST /v1/images/generations, and the habits in which its like differ."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from support.fake_server import FakeServer
from support.painted import picture_file

USUAL = "512x512"


class FakeOpenAIImages(FakeServer):
    """Attributes may be changed at any time.

    links: sends URLs; takes_format: knows `response_format`; fewer: pictures that are left out; size: makes this one
    whatever is asked; cut: bytes that each picture has; seconds: for each request.
    """

    def __init__(self, *models: str) -> None:
        super().__init__()
        self.models = models or ("painter-1",)
        self.links = False
        self.takes_format = True
        self.fewer = 0
        self.size = ""
        self.cut: int | None = None
        self.seconds = 0.0

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/v1/models", self._list), web.post("/v1/images/generations", self._paint)]

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
        )

    async def _paint(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "response_format" in body and not self.takes_format:
            error = {"message": "Unknown parameter: 'response_format'.", "param": "response_format"}
            return web.json_response({"error": error}, status=400)
        await asyncio.sleep(self.seconds)
        width, height = map(int, (self.size or body.get("size", USUAL)).split("x"))
        count = body.get("n", 1) - self.fewer
        return web.json_response(
            {"created": 1, "data": [self._one(index, width, height) for index in range(count)]}
        )

    def _one(self, index: int, width: int, height: int) -> dict[str, Any]:
        if self.links:
            return {"url": f"{self.url}/secret.png"}
        return {"b64_json": b64encode(picture_file(index, width, height)[: self.cut]).decode()}
