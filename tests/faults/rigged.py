"""Runs one service of the mesh with one of its guards out of order: python rigged.py SWITCH MODULE ARGUMENTS.

A fault whose guard is gone must be seen to go wrong, or its test proves nothing. Nothing in the services knows of
this: each switch replaces a named piece of them before they start, and fails when the piece is not there.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["SWITCHES"]

GATEWAY, ADAPTER = "nexus_gateway", "nexus_inference_adapters"
DONE = b"data: [DONE]\n\n"


def replace(module: str, path: str, value: Any) -> None:
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    assert hasattr(owner, name), f"{module} has no {path}: this switch needs to be written anew"
    setattr(owner, name, value)


def _no_failover() -> None:
    replace("nexus_gateway.dispatch.attempts", "RetryBudget.take", lambda _: False)
    for asked in ("can_help", "is_spare"):
        replace("nexus_gateway.fleet.traffic", f"Traffic.{asked}", lambda *_: False)


def _retry_everything() -> None:
    errors = import_module("nexus_mesh.core.errors")
    replace("nexus_gateway.fleet.outcomes", "RETRYABLE", frozenset(errors.Reason))
    replace("nexus_gateway.dispatch.dispatcher", "_is_roomier", lambda *_: True)


def _errors_look_done() -> None:
    replace("nexus_gateway.dialects.openai.inference", "EventWriter.error", lambda *_: DONE)


def _any_end_is_good() -> None:
    replace("nexus_gateway.dialects.openai.inference", "EventWriter.finish", lambda *_: DONE)


def _believe_any_end() -> None:
    replace("nexus_inference_adapters.openai.event_stream", "EventStream.finish", lambda _: None)


def _no_end_mark() -> None:
    replace("nexus_gateway.dialects.openai.inference", "EventWriter.finish", lambda *_: b": end\n\n")


def _wrong_sums() -> None:
    """Only where the backend's counts are absurd: good traffic has to come before the fault."""
    honest = import_module("nexus_gateway.dialects.openai.inference").usage_object

    def believing(usage: Any) -> dict[str, object]:
        return honest(usage) | ({"total_tokens": 5} if usage.completion_tokens > 10**6 else {})

    replace("nexus_gateway.dialects.openai.inference", "usage_object", believing)


def _believe_any_count() -> None:
    replace("nexus_inference_adapters.openai.answers", "count_of", lambda said: said)


def _filter_is_stop() -> None:
    reasons = import_module("nexus_inference_adapters.openai.answers").FINISH_REASONS
    assert "content_filter" in reasons
    reasons["content_filter"] = "stop"


def _advertised(port: str) -> None:
    """No guard: the adapter registers under a proxy's port instead of its own."""
    registration = import_module("nexus_mesh.process.registration").Registration

    class Elsewhere(registration):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **(named | {"port": int(port)}))

    replace("nexus_mesh.process.service", "Registration", Elsewhere)


def _no_pings() -> None:
    """A frozen peer is then noticed after a minute; the limits of requests are taken away in the configuration."""
    options = import_module("nexus_mesh.rpc.client").KEPT_UP
    patient = tuple(option for option in options if "ping" not in option[0] and "keepalive" not in option[0])
    assert patient != options
    replace("nexus_mesh.rpc.client", "KEPT_UP", patient)


SWITCHES: dict[str, dict[str, Callable[[], None] | None]] = {
    "no failover": {GATEWAY: _no_failover},
    "refusals are retried": {GATEWAY: _retry_everything},
    "errors look done": {GATEWAY: _errors_look_done},
    "any end is good": {GATEWAY: _any_end_is_good, ADAPTER: _believe_any_end},
    "no end mark": {GATEWAY: _no_end_mark},
    "wrong sums": {GATEWAY: _wrong_sums},
    "any number is a count": {ADAPTER: _believe_any_count},
    "a filtered answer is whole": {ADAPTER: _filter_is_stop},
    "no time limits": {GATEWAY: _no_pings, ADAPTER: None},
}
"""By name: what is replaced in which service; None = nothing, it is only started anew.

For "no time limits" the caller changes the configuration as well.
"""


def main() -> None:
    switch, module = sys.argv[1:3]
    del sys.argv[:2]
    if switch.startswith("port="):
        _advertised(switch.removeprefix("port="))
    else:
        rig = SWITCHES[switch][module]
        assert rig is not None, f"{switch} replaces nothing in {module}"
        rig()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
