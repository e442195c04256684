"""What travels on is what the request says now, not what it said before it was scrubbed."""

from __future__ import annotations

from nexus_gateway.core.request import RequestContext
from nexus_mesh.settings import Timeouts
from support.gateway_bench import chat


def test_a_body_written_before_the_scrubbing_is_not_used_after_it() -> None:
    context = RequestContext(chat(body={"user": "ann@example.org"}), Timeouts())
    assert "ann@example.org" in context.body_for("m")
    context.request.body = {**context.request.body, "user": "<EMAIL_1>"}
    assert "ann@example.org" not in context.body_for("m")


def test_one_body_is_written_once_for_each_model() -> None:
    context = RequestContext(chat(), Timeouts())
    assert context.body_for("m") is context.body_for("m")
    assert '"model":"n"' in context.body_for("n")
