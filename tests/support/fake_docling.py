"""docling-serve 1.21 as its documentation has it: tasks that are polled, and success that stands in the body alone."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from support.fake_server import RECORD, FakeServer

__all__ = ["FakeDocling"]

HEIGHT, WIDTH = 842.0, 595.0


class FakeDocling(FakeServer):
    """`pages`: the lines of each page, an empty list = a blank page. `polls`: how often a task is still under way.

    `outcome`: "success", "partial_success" or "failure", with HTTP 200 all of them. `key`: the one that is taken.
    `skips_blank`: breaks stand between pages with something on them only.
    """

    def __init__(self, *pages: list[str]) -> None:
        super().__init__()
        self.pages = pages
        self.polls = 2
        self.outcome = "success"
        self.key = ""
        self.skips_blank = True
        self.sources: list[dict[str, Any]] = []
        self.options: dict[str, Any] = {}
        self._asked = 0

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.post("/v1/convert/source/async", self._submit),
            web.get("/v1/status/poll/{task}", self._poll),
            web.get("/v1/result/{task}", self._result),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    def _turned_away(self, request: web.Request) -> web.Response | None:
        if self.key and request.headers.get("X-Api-Key") != self.key:
            return web.json_response({"detail": "Api key is required or wrong."}, status=401)
        return None

    async def _submit(self, request: web.Request) -> web.Response:
        if (refusal := self._turned_away(request)) is not None:
            return refusal
        body = request[RECORD].body
        self.options = body["options"]
        self.sources = [{**each, "data": base64.b64decode(each["base64_string"])} for each in body["sources"]]
        self._asked = 0
        return web.json_response(
            {"task_id": "d2f7c5b0-1", "task_type": "convert", "task_status": "pending", "task_position": 1}
        )

    async def _poll(self, request: web.Request) -> web.Response:
        self._asked += 1
        status = "started" if self._asked < self.polls else self.outcome.replace("partial_", "")
        return web.json_response(
            {"task_id": request.match_info["task"], "task_type": "convert", "task_status": status}
        )

    async def _result(self, request: web.Request) -> web.Response:
        first, last = self.options.get("page_range") or (1, len(self.pages))
        chosen = {number: self.pages[number - 1] for number in range(first, min(last, len(self.pages)) + 1)}
        if self.outcome == "failure":
            chosen = {}
        failed = [] if self.outcome == "success" else [{"component_type": "document_backend",
            "module_name": "docling", "error_message": "page 2 could not be parsed"}]  # fmt: skip
        return web.json_response({
            "document": {
                "filename": self.sources[0]["filename"],
                "md_content": self._markdown(chosen),
                "json_content": _structure(chosen),
                "html_content": None,
                "text_content": None,
                "doctags_content": None,
            },
            "status": self.outcome,
            "errors": failed,
            "processing_time": 0.5,
            "timings": {},
        })  # fmt: skip

    def _markdown(self, chosen: dict[int, list[str]]) -> str:
        shown = [lines for lines in chosen.values() if lines or not self.skips_blank]
        placed = self.options.get("md_page_break_placeholder", "")
        return f"\n\n{placed}\n\n".join("\n\n".join(lines) for lines in shown)


def _structure(chosen: dict[int, list[str]]) -> dict[str, Any]:
    texts = [
        {
            "self_ref": f"#/texts/{number}-{at}",
            "label": "text",
            "text": line,
            "prov": [{"page_no": number, "charspan": [0, len(line)], "bbox": {
                "l": 60.0, "t": HEIGHT - 60 - 20 * at, "r": 300.0, "b": HEIGHT - 74 - 20 * at,
                "coord_origin": "BOTTOMLEFT"}}],
        }
        for number, lines in chosen.items()
        for at, line in enumerate(lines)
    ]  # fmt: skip
    pages = {
        str(number): {"size": {"width": WIDTH, "height": HEIGHT}, "page_no": number} for number in chosen
    }
    return {"schema_name": "DoclingDocument", "texts": texts, "tables": [], "pictures": [], "pages": pages}
