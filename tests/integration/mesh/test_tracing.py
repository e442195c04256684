"""One span for each RPC where traces are on, a child of the caller's; a server without them has no part for it."""

from __future__ import annotations

import pytest
from nexus_mesh.core import telemetry
from nexus_mesh.core.errors import MeshError
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.ca import MeshCA
from support.echo_service import WAYS, Way, complete, echo, peer_of


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
async def test_a_call_is_a_child_of_its_callers_span(
    mesh_ca: MeshCA, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(telemetry, "_provider", provider)
    async with echo(mesh_ca) as (server, _), peer_of(mesh_ca, server) as peer:
        with provider.get_tracer("test").start_as_current_span("asking") as asking:
            await peer.unary(way.complete, complete(body="a"), timeout=5)
            with pytest.raises(MeshError):
                await peer.unary(way.complete, complete("fail"), timeout=5)
    good, bad = (span for span in spans.get_finished_spans() if span.name == way.complete.path)
    for span in (good, bad):
        assert span.parent is not None
        assert span.parent.span_id == asking.get_span_context().span_id
    assert (good.status.is_ok, bad.status.description) == (True, "OVERLOAD")
