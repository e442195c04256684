"""The hub and a package index as they are seen from outside, with what goes wrong at them, on loopback.

As the hub does: /api/models/OWNER/REPOSITORY (card), .../tree/COMMIT (files, SHA-256 under `lfs.oid`) and
/OWNER/REPOSITORY/resolve/COMMIT/FILE, which sends on to another host. Files take ranges. A fault is used up by one
request for a file's bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from typing import Literal

from aiohttp import web
from support.fake_server import FakeServer

__all__ = ["COMMIT", "FakeHub", "FakeIndexOfFiles", "FileServer"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE = 256 * 1024
Fault = Literal["cut", "busy", "hang", "whole", "lie", "longer"]
"""cut: half of what is asked, then the connection breaks. busy: 429. hang: half, then nothing more. whole: ranges are
ignored. lie: other bytes of the same length. longer: more than was announced."""


class FileServer(FakeServer):
    """Bytes by name, at /files/NAME. `faults` happen in their order."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.files = files or {}
        self.faults: list[Fault] = []
        self.retry_after = "0"
        self.hanging = asyncio.Event()
        """Set once a fetch hangs."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/files/{name}", self._file)]

    @property
    def ranges(self) -> list[str]:
        """What was asked of files, in order; "" = all."""
        return [seen.headers.get("Range", "") for seen in self.requests if "/files/" in seen.path]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        data = self.files.get(request.match_info["name"])
        if data is None:
            return web.Response(status=404)
        fault = self.faults.pop(0) if self.faults else None
        if fault == "busy":
            return web.Response(status=429, headers={"Retry-After": self.retry_after})
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(found[1]) if found and fault != "whole" else 0
        if start >= len(data) > 0:
            return web.Response(status=416)
        if fault == "lie":
            data = bytes(byte ^ 1 for byte in data)
        rest = data[start:] + (b"more" if fault == "longer" else b"")
        response = web.StreamResponse(status=206 if start else 200)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        response.content_length = len(rest)
        await response.prepare(request)
        sent = rest[: len(rest) // 2] if fault in ("cut", "hang") else rest
        for at in range(0, len(sent), PIECE):
            await response.write(sent[at : at + PIECE])
        if fault == "hang":
            self.hanging.set()
            await asyncio.sleep(60)
        if fault == "cut" and request.transport is not None:
            request.transport.close()
        return response


class FakeIndexOfFiles(FileServer):
    """A package index whose files lie beside it: by JSON (PEP 691) to who accepts it, else by HTML (PEP 503)."""

    speaks_json = True
    elsewhere = "../.."
    """Where its links lead; unset = to itself."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [*super().routes(), web.get("/simple/{project}/", self._project)]

    async def _project(self, request: web.Request) -> web.Response:
        project = request.match_info["project"].replace("-", "_")
        names = [name for name in self.files if name.startswith(f"{project}-")]
        if not names:
            return web.Response(status=404)
        if self.speaks_json and "v1+json" in request.headers.get("Accept", ""):
            files = [
                {"filename": name, "url": f"{self.elsewhere}/files/{name}", "hashes": {}} for name in names
            ]
            answer = web.json_response({"meta": {"api-version": "1.1"}, "name": project, "files": files})
            answer.content_type = "application/vnd.pypi.simple.v1+json"
            return answer
        links = "".join(f'<a href="{self.elsewhere}/files/{name}#sha256=00">{name}</a>' for name in names)
        return web.Response(text=f"<html><body>{links}</body></html>", content_type="text/html")


class FakeHub(FakeServer):
    """One repository, whose large files another server has. With a `token` it answers nobody else."""

    def __init__(
        self, behind: FileServer, repository: str, license_tag: str = "mit", token: str = ""
    ) -> None:
        super().__init__()
        self.behind = behind
        self.repository = repository
        self.license = license_tag
        self.token = token

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/api/models/{owner}/{name}", self._card),
            web.get("/api/models/{owner}/{name}/tree/{commit}", self._tree),
            web.get("/{owner}/{name}/resolve/{commit}/{file}", self._resolve),
        ]

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "Invalid username or password."}, status=401)
        if f"{request.match_info['owner']}/{request.match_info['name']}" != self.repository:
            return web.json_response({"error": "Repository not found"}, status=404)
        return None

    async def _card(self, request: web.Request) -> web.Response:
        card = {"id": self.repository, "sha": COMMIT, "tags": ["gguf", f"license:{self.license}"]}
        return self._refusal(request) or web.json_response(card)

    async def _tree(self, request: web.Request) -> web.Response:
        rows = [{"type": "file", "path": "README.md", "size": 9, "oid": "00"}]
        for name, data in self.behind.files.items():
            large = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            rows.append({"type": "file", "path": name, "size": len(data), "oid": "00", "lfs": large})
        return self._refusal(request) or web.json_response(rows)

    async def _resolve(self, request: web.Request) -> web.Response:
        place = f"{self.behind.url}/files/{request.match_info['file']}"
        return self._refusal(request) or web.Response(status=302, headers={"Location": place})
