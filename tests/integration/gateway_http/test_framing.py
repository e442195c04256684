"""Requests that are no HTTP, or not ours: each gets its envelope, and the process goes on serving."""

from __future__ import annotations

import pytest
from support.attacks import Attacks
from support.edge_server import running_edge
from support.raw_http import RawConnection, ask, assert_envelope, assert_serves, chat, request

GOOD = chat()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

CHUNKED = b"Transfer-Encoding: chunked"


def head(*lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


FRAMING: dict[str, tuple[bytes, int, str]] = {
    "length and chunked": (
        head(b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
        400,
        "bad_framing",
    ),
    "two lengths": (head(b"Content-Length: 5", b"Content-Length: 6") + b"hello", 400, "bad_framing"),
    "same length twice": (head(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400, "bad_framing"),
    "negative length": (head(b"Content-Length: -5"), 400, "bad_framing"),
    "plus length": (head(b"Content-Length: +5"), 400, "bad_framing"),
    "list length": (head(b"Content-Length: 5,5"), 400, "bad_framing"),
    "hex length": (head(b"Content-Length: 0x10"), 400, "bad_framing"),
    "30 digits": (head(b"Content-Length: " + b"9" * 30), 400, "bad_framing"),
    "chunked in HTTP/1.0": (
        head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
        400,
        "bad_framing",
    ),
    "unknown coding": (head(b"Transfer-Encoding: xchunked"), 400, "bad_framing"),
    "chunked twice": (head(b"Transfer-Encoding: chunked, chunked"), 400, "bad_framing"),
    "gzip coding": (head(b"Transfer-Encoding: gzip, chunked"), 501, "bad_framing"),
    "bad chunk size": (head(CHUNKED) + b"zz\r\n", 400, "bad_framing"),
    "chunk too long": (head(CHUNKED) + b"3\r\nhello\r\n0\r\n\r\n", 400, "bad_framing"),
    "chunk size overflow": (head(CHUNKED) + b"f" * 30 + b"\r\n", 400, "bad_framing"),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: a\n\n", 400, "bad_header"),
    "bare line feed in a header": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: b\nX-Evil: 1\r\n\r\n",
        400,
        "bad_header",
    ),
    "folded header": (head(b"A: b\r\n c"), 400, "bad_header"),
    "NUL in a value": (head(b"A: b\0c"), 400, "bad_header"),
    "control byte in a value": (head(b"A: b\x01c"), 400, "bad_header"),
    "space before colon": (head(b"A : b"), 400, "bad_header"),
    "bracket in a name": (head(b"A(: b"), 400, "bad_header"),
    "header of 100 KB": (head(b"A: " + b"b" * 100_000), 431, "headers_too_large"),
    "unfinished header of 100 KB": (HEAD + b"A: " + b"b" * 100_000, 431, "headers_too_large"),
    "2000 headers": (head(*[b"A%d: b" % n for n in range(2000)]), 431, "headers_too_large"),
    "2000 trailers": (
        head(CHUNKED) + b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
        431,
        "headers_too_large",
    ),
    "URL of 70 KB": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "uri_too_long"),
    "unfinished URL of 70 KB": (b"GET /" + b"a" * 70_000, 414, "uri_too_long"),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400, "bad_host"),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_host"),
    "two origins": (head(b"Origin: http://localhost", b"Origin: https://evil.example"), 400, "bad_header"),
    "two keys": (head(b"Authorization: Bearer a", b"authorization: Bearer a"), 400, "bad_header"),
    "two types": (head(b"Content-Type: text/plain"), 400, "bad_header"),
    "two encodings": (head(b"Content-Encoding: gzip", b"Content-Encoding: identity"), 400, "bad_header"),
    "two strictnesses": (head(b"X-Nexus-Strict: 1", b"X-Nexus-Strict: 0"), 400, "bad_header"),
    "HTTP/3.7": (b"GET /healthz HTTP/3.7\r\nHost: a\r\n\r\n", 505, "unsupported_http_version"),
    "HTTP/2.0": (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_http_version"),
    "HTTP/0.9": (b"GET /healthz HTTP/0.9\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "no version": (b"GET /healthz\r\n\r\n", 400, "bad_request"),
    "lower-case method": (b"get /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
    "unknown method": (b"BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    "TLS hello": (bytes.fromhex("1603010200010001fc0303") + b"\0" * 200, 400, "bad_request"),
    "random bytes": (bytes(range(256)) * 16, 400, "bad_request"),
    "unknown expectation": (head(b"Expect: 200-maybe", b"Content-Length: 5"), 417, "expectation_failed"),
    "websocket": (
        head(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
        400,
        "bad_request",
    ),
    "h2c": (
        head(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5") + b"hello",
        400,
        "bad_request",
    ),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "absolute target": (b"GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "asterisk target": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "control byte in target": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    "64 MB announced": (head(b"Content-Length: 67108864"), 413, "request_too_large"),
    "GET with 1 GB": (
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n",
        413,
        "request_too_large",
    ),
}

HOSTS = ["a/healthz?x=", "a/#", "a@b", "[::1", "a b", "", "a:b", "a\x80b", "a,b"]


@pytest.mark.security
async def test_bad_http_gets_an_envelope_and_the_connection_ends(attacks: Attacks) -> None:
    attacks.count(len(FRAMING))
    async with running_edge() as edge:
        for name, (data, status, code) in FRAMING.items():
            async with RawConnection(edge.port) as connection:
                connection.send(data)
                answer = await connection.answer()
                assert (name, answer.status, answer.code) == (name, status, code)
                assert_envelope(answer, status, code)
                assert answer.headers["connection"] == "close"
                assert await connection.closed()
            await assert_serves(edge.port)
        assert len(edge.pipeline.requests) == len(FRAMING), (
            "only the good requests in between reached the pipeline"
        )


@pytest.mark.security
@pytest.mark.parametrize("host", HOSTS)
async def test_hosts_that_are_no_names_are_refused(host: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("GET", "/healthz", host=host))
        assert_envelope(answer, 400, "bad_host")


async def test_http_1_0_needs_no_host_and_is_closed_after() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await connection.answer()).status == 200
        assert await connection.closed()


@pytest.mark.security
async def test_trailers_are_never_believed() -> None:
    async with running_edge() as edge:
        edge.pipeline.keys = {"secret"}
        body = b"%x\r\n%s\r\n0\r\nAuthorization: Bearer secret\r\n\r\n" % (len(GOOD), GOOD)
        assert_envelope(await ask(edge.port, head(CHUNKED) + body), 401, "invalid_api_key")


async def test_a_chunked_body_is_read_whole() -> None:
    async with running_edge() as edge:
        pieces = b"".join(b"%x\r\n%s\r\n" % (1, GOOD[i : i + 1]) for i in range(len(GOOD)))
        answer = await ask(edge.port, head(CHUNKED) + pieces + b"0\r\n\r\n")
        assert answer.status == 200


async def test_expect_100_continue_is_honoured() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(head(b"Expect: 100-continue", b"Content-Length: %d" % len(GOOD)))
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(GOOD)
        assert (await connection.answer()).status == 200


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(request(body=GOOD) + request("GET", "/healthz") + request("GET", "/nowhere"))
        assert [(await connection.answer()).status for _ in range(3)] == [200, 200, 404]


async def test_junk_after_a_request_does_not_cost_it_its_answer() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(request(body=GOOD) + b"\x01\x02junk")
        assert (await connection.answer()).status == 200
        assert (await connection.answer()).status == 400
        assert await connection.closed()


async def test_a_body_that_goes_wrong_starts_no_work() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(head(CHUNKED) + b"5\r\nhello\r\n")
        await assert_serves(edge.port)
        connection.send(b"nonsense\r\n")
        assert_envelope(await connection.answer(), 400, "bad_framing")
        assert len(edge.pipeline.requests) == 1


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(head(CHUNKED))
        piece = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
        for _ in range(18):
            connection.send(piece)
        assert_envelope(await connection.answer(), 413, "request_too_large")
        assert not edge.pipeline.requests


async def test_a_body_cut_short_starts_no_work() -> None:
    async with running_edge() as edge:
        async with RawConnection(edge.port) as connection:
            connection.send(head(b"Content-Length: 1000") + GOOD)
        await assert_serves(edge.port)
        assert len(edge.pipeline.requests) == 1
