"""A real edge on a free loopback port in front of a scripted pipeline, and the official clients for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nexus_gateway.dialects.errors import error_body
from nexus_gateway.http.options import EdgeOptions
from nexus_gateway.http.server import HttpServer, serve_http
from nexus_gateway.routes import build_app
from openai import AsyncOpenAI, OpenAI
from support.edge_pipeline import KEY, EdgePipeline


@dataclass
class Edge:
    pipeline: EdgePipeline
    server: HttpServer

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, retries: int = 0) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.url, api_key=KEY, max_retries=retries, timeout=20)

    def sync_client(self, retries: int = 0) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=KEY, max_retries=retries, timeout=20)


@asynccontextmanager
async def running_edge(options: EdgeOptions | None = None) -> AsyncIterator[Edge]:
    options = options or EdgeOptions()
    pipeline = EdgePipeline()
    server = await serve_http(build_app(pipeline, options), error_body, "127.0.0.1", 0, options.limits)
    try:
        yield Edge(pipeline, server)
    finally:
        await server.close(grace=0)
