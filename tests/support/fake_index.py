"""A package index on loopback that has every name: strangers' packages under ours, hollow ones under all others."""

from __future__ import annotations

import io
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["STRANGERS", "FakeIndex", "fake_index"]

STRANGERS = ("0.1.0", "0.1.1", "3.1.6", "99.0.0")
"""Versions a public index may have of a name: it takes none with a local label (PEP 440)."""
FILE = re.compile(
    r"^/files/(?P<name>[a-z0-9_]+)-(?P<version>[0-9.]+)-py3-none-any\.whl(?P<metadata>\.metadata)?$"
)
PROJECT = re.compile(r"^/simple/(?P<name>[A-Za-z0-9._-]+)/?$")


class FakeIndex:
    """`least` has the version to offer of a name that is not ours. `asked` collects the projects looked up."""

    def __init__(self, least: dict[str, str]) -> None:
        self.url = ""
        self.least = least
        self.asked: list[str] = []

    def versions(self, name: str) -> Sequence[str]:
        return STRANGERS if name.startswith("nexus") else (self.least.get(name, "9999"),)


@contextmanager
def fake_index(least: dict[str, str]) -> Iterator[FakeIndex]:
    """Serves the index (PEP 503) until the end of the block."""
    index = FakeIndex(least)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if project := PROJECT.match(self.path):
                name = re.sub(r"[-_.]+", "-", project["name"]).lower()
                index.asked.append(name)
                self._send("text/html", _page(name, index.versions(name)))
            elif file := FILE.match(self.path):
                metadata = _metadata(file["name"], file["version"])
                wheel = _wheel(file["name"], file["version"], metadata)
                self._send("application/octet-stream", metadata if file["metadata"] else wheel)
            else:
                self.send_error(404)

        def _send(self, kind: str, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so there
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple"
        yield index
        server.shutdown()


def _page(name: str, versions: Sequence[str]) -> bytes:
    files = [f"{name.replace('-', '_')}-{version}-py3-none-any.whl" for version in versions]
    links = "".join(f'<a href="/files/{file}">{file}</a>\n' for file in files)
    return f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


def _metadata(name: str, version: str) -> bytes:
    extras = "Provides-Extra: scrub\n" if name.startswith("nexus") else ""
    return f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n{extras}".encode()


def _wheel(name: str, version: str, metadata: bytes) -> bytes:
    folder, content = f"{name}-{version}.dist-info", io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        wheel.writestr(f"{folder}/METADATA", metadata)
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    return content.getvalue()
