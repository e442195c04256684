"""What browsers may do here: which names and pages they may come by, what they are told, and the page for people."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from nexus_gateway.http.heads import local_names
from nexus_gateway.http.options import EdgeOptions
from support.edge_server import running_edge
from support.raw_http import RawAnswer, ask, assert_envelope, chat, request

GOOD = chat()
PATHS = ("/v1/chat/completions", "/v1/models", "/healthz", "/metrics", "/", "/nowhere")


def open_edge(**changes: Any) -> EdgeOptions:
    return EdgeOptions(allowed_hosts=local_names(changes.pop("hosts", ())), **changes)


OWN_NAMES = [
    "localhost", "LOCALHOST:8080", "localhost.", "app.localhost", "127.0.0.1:1", "127.0.0.53", "[::1]:8080", "[::1]",
    "host.docker.internal", "host.docker.internal:8000", "gateway.containers.internal", "box.local", "Box.Local.:80",
    socket.gethostname(),
]  # fmt: skip


@pytest.mark.parametrize("host", OWN_NAMES)
async def test_names_of_this_machine(host: str) -> None:
    """D9: an open endpoint is reached by every name that cannot be somebody else's."""
    async with running_edge(open_edge()) as edge:
        assert (await ask(edge.port, request(body=GOOD, host=host))).status == 200


STRANGE_NAMES = [
    "evil.example", "127.0.0.1.evil.example", "192.168.1.5:8080", "localhost.evil", "evilinternal", "local",
    "a.internal.evil", "internal.", "0.0.0.0", "[fe80::1]",
]  # fmt: skip


@pytest.mark.security
@pytest.mark.parametrize("host", STRANGE_NAMES)
async def test_a_rebound_name_is_refused_everywhere(host: str) -> None:
    async with running_edge(open_edge()) as edge:
        for path in PATHS:
            answer = await ask(edge.port, request("GET", path, host=host))
            assert_envelope(answer, 421, "misdirected_request")
        assert not edge.pipeline.requests


async def test_more_names_can_be_set() -> None:
    """D9: `[gateway] hosts`."""
    async with running_edge(open_edge(hosts=("ai.example", "*.home.arpa"))) as edge:
        for host, status in [
            ("ai.example:80", 200),
            ("box.home.arpa", 200),
            ("home.arpa", 421),
            ("x.ai.example", 421),
        ]:
            assert (await ask(edge.port, request(body=GOOD, host=host))).status == status, host


EXTENSION = "chrome-extension://abcdefgh"
# What is listed, who calls, whether it may.
ORIGINS: list[tuple[tuple[str, ...] | None, str, bool]] = [
    (None, "http://localhost:3000", True),
    (None, "http://127.0.0.1", True),
    (None, "https://[::1]:8443", True),
    (None, "http://app.localhost:5173", True),
    (None, EXTENSION, False),
    (None, "https://evil.example", False),
    (None, "http://localhost.evil.example", False),
    (None, "http://localhost:3000.evil.example", False),
    (None, "http://evil.example:80/http://localhost", False),
    (None, "http://box.local", False),
    (None, "ftp://localhost", False),
    (None, "null", False),
    (None, "", False),
    ((), "http://localhost:3000", False),
    (("http://localhost:3000",), "http://localhost:3000", True),
    (("http://localhost:3000",), "http://localhost:9999", False),
    (("http://localhost:3000",), "http://127.0.0.1:3000", False),
    (("chrome-extension://*",), EXTENSION, True),
    (("chrome-extension://*",), "http://localhost:3000", True),
    (("chrome-extension://*",), "moz-extension://abcdefgh", False),
    (("https://chat.example",), "https://chat.example", True),
    (("https://chat.example",), "https://chat.example:8443", False),
    (("https://chat.example",), "http://chat.example", False),
    (("https://chat.example",), "https://chatXexample", False),
    (("http://box:*",), "http://box:8123", True),
    (("http://box:*",), "http://box", True),
    (("http://box:*",), "http://box:80.evil.example", False),
]


@pytest.mark.security
@pytest.mark.parametrize(("listed", "origin", "trusted"), ORIGINS)
async def test_only_trusted_pages_may_call_an_open_endpoint(
    listed: tuple[str, ...] | None, origin: str, trusted: bool
) -> None:
    """A15, D8: a simple request of a strange page is refused before any work, for a browser asks nobody first."""
    async with running_edge(open_edge(origins=listed)) as edge:
        for body in (GOOD, chat(stream=True)):
            answer = await ask(edge.port, request(body=body, headers=[f"Origin: {origin}"]))
            if trusted:
                assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
                assert "origin" in answer.headers["vary"]
            else:
                assert_envelope(answer, 403, "origin_not_allowed")
                assert "access-control-allow-origin" not in answer.headers
        assert len(edge.pipeline.requests) == (2 if trusted else 0)
        asked = await preflight(edge.port, origin)
        assert asked.status == (204 if trusted else 403)
        assert ("access-control-allow-origin" in asked.headers) is trusted


async def preflight(port: int, origin: str, *more: str, path: str = "/v1/chat/completions") -> RawAnswer:
    headers = [f"Origin: {origin}", "Access-Control-Request-Method: POST", *more]
    return await ask(port, request("OPTIONS", path, headers=headers))


async def test_a_preflight_is_answered_before_anybody_shows_a_key() -> None:
    """D8: what the page wants to send is allowed by name, for a star does not stand for Authorization."""
    async with running_edge(open_edge()) as edge:
        edge.pipeline.keys = {"secret"}
        wanted = "Access-Control-Request-Headers: authorization, Content-Type,x-stainless-os, b\x7fad, x-nexus-zone"
        private = "Access-Control-Request-Private-Network: true"
        answer = await preflight(edge.port, "http://localhost:3000", wanted.replace("\x7f", "("), private)
        assert answer.status == 204
        assert "content-length" not in answer.headers
        assert "transfer-encoding" not in answer.headers
        told = {name.removeprefix("access-control-"): value for name, value in answer.headers.items()}
        assert told["allow-origin"] == "http://localhost:3000"
        assert told["allow-methods"] == "POST"
        assert told["allow-headers"] == "authorization, content-type, x-stainless-os, x-nexus-zone"
        assert told["allow-private-network"] == "true"
        assert "allow-credentials" not in told
        assert (await preflight(edge.port, "http://localhost:3000", path="/v1/models")).status == 204


async def test_errors_can_be_read_by_the_page_too() -> None:
    """D8: a page is told what went wrong, or its user sees "network error"."""
    async with running_edge(open_edge()) as edge:
        edge.pipeline.keys = {"secret"}
        answer = await ask(edge.port, request(body=GOOD, headers=["Origin: http://localhost:3000"]))
        assert_envelope(answer, 401, "invalid_api_key")
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert answer.headers["access-control-expose-headers"] == "*"


async def test_options_without_a_question_is_no_method_here() -> None:
    async with running_edge(open_edge()) as edge:
        answer = await ask(edge.port, request("OPTIONS", headers=["Origin: http://localhost:3000"]))
        assert_envelope(answer, 405, "method_not_allowed")


async def test_where_keys_are_needed_the_key_decides_and_the_browser_asks_first() -> None:
    """A15: no page can have a key sent without a preflight; programs that send an Origin are no pages."""
    async with running_edge(EdgeOptions(needs_key=True)) as edge:
        edge.pipeline.keys = {"secret"}
        assert (await preflight(edge.port, "https://evil.example")).status == 403
        headers = ["Origin: app://some.program", "Authorization: Bearer secret"]
        answer = await ask(edge.port, request(body=GOOD, headers=headers))
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/models/", "/v1//models", "//v1/models", "/models/", "/v1///models//"])
async def test_slashes_too_many_mean_nothing(path: str) -> None:
    """D7: base URLs and paths are joined by people."""
    async with running_edge() as edge:
        assert (await ask(edge.port, request("GET", path))).json["object"] == "list"
        assert (await ask(edge.port, request(path="/v1//chat/completions/", body=GOOD))).status == 200
        one = await ask(edge.port, request("GET", "/v1//models/org/model:tag/"))
        assert one.json["id"] == "org/model:tag"
