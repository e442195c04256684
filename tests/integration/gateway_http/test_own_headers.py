"""X-Nexus-* of requests: a demand that cannot be read is refused, never taken for none."""

from __future__ import annotations

import pytest
from support.edge_server import running_edge
from support.raw_http import ask, chat, request

SLIPS = (
    ("X-Nexus-Zone", ""),
    ("X-Nexus-Zone", "   "),
    ("X-Nexus-Zone", "default, restricted"),
    ("X-Nexus-Zone", "restricted\u00e9"),
    ("X_Nexus_Zone", "restricted"),
    ("x-nexus_zone", "restricted"),
    ("X-Nexus-Privacy-Zone", "restricted"),
    ("X-Nexus-Zones", "restricted"),
    ("X-Nexus-Tenant", "other"),
    ("X-Nexus-Backend", "rogue"),
)


@pytest.mark.security
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route/explain"])
@pytest.mark.parametrize(("name", "value"), SLIPS)
async def test_a_demand_with_a_slip_is_refused(path: str, name: str, value: str) -> None:
    """A1: a zone that was demanded under a wrong name, or by an empty one, let the prompt out of it."""
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", path, chat(), headers=[f"{name}: {value}"]))
        assert (answer.status, answer.code) == (400, "invalid_value")
        assert edge.pipeline.requests == []


@pytest.mark.parametrize("header", ["X-Nexus-Strict: 0", "X-Nexus-Zone: restricted", "X-Nexu: a"])
async def test_those_it_knows_pass(header: str) -> None:
    async with running_edge() as edge:
        answer = await ask(edge.port, request("POST", "/v1/chat/completions", chat(), headers=[header]))
        assert answer.status == 200
