"""Which tests have the machine to themselves in `make test`; the others run two at a time, each file in one process.

Alone is what is about time, load or losses, and what uses something there is once: its ports, its multicast, all its
processors. Whoever is in doubt is alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["ALONE"]

TESTS = Path(__file__).parents[1]
ALONE: dict[str, str] = {
    "e2e": "whole meshes, whose parts are killed and waited for",
    "failover": "latencies beside failing backends",
    "faults": "faults under load",
    "integration/adapters/test_comfyui.py": "three requests at once, and who of them runs when",
    "integration/adapters/test_discovery.py": "finds what listens on this machine",
    "integration/adapters/test_faults.py": "patience with slow backends",
    "integration/adapters/test_first_look.py": "finds what listens on this machine",
    "integration/adapters/test_floods.py": "multicast, and floods of it",
    "integration/adapters/test_mdns.py": "multicast",
    "integration/adapters/test_mlx.py": "an engine that takes every processor",
    "integration/adapters/test_promises.py": "load",
    "integration/cli": "ports of this machine",
    "integration/gateway_http/test_deadlines.py": "deadlines",
    "integration/gateway_http/test_one_against_all.py": "load",
    "integration/gateway_mesh/test_cost.py": "what requests cost",
    "integration/gateway_mesh/test_ejection.py": "latencies",
    "integration/gateway_mesh/test_failing_beside_idle.py": "latencies",
    "integration/gateway_mesh/test_hedging.py": "latencies",
    "integration/gateway_mesh/test_lateness.py": "latencies",
    "integration/gateway_mesh/test_queue_streams.py": "load",
    "integration/mesh/test_renewal_of_older_names.py": "certificates that end in seconds",
    "integration/packaging": "builds and installs",
    "integration/registry/test_etcd_failover.py": "a cluster that loses members",
    "integration/registry/test_registry_restart.py": "leases that end in seconds",
    "integration/router/test_policy_crash.py": "processes that are killed",
    "integration/support/test_mlx_server.py": "an engine that takes every processor",
    "integration/store/test_kill.py": "processes that are killed",
    "integration/tasks/test_kill.py": "processes that are killed",
    "integration/test_demo_model.py": "training takes every processor",
    "integration/vault/test_crash.py": "processes that are killed",
    "unit/gateway/test_watchdog.py": "waits",
    "unit/mesh/test_turns.py": "turns of a busy loop",
}
"""Folder or file below tests/ -> why."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: has the machine to itself; given by tests/support/alone.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Before `-m` selects by it."""
    for item in items:
        if item.path.is_relative_to(TESTS) and _named(item.path.relative_to(TESTS)):
            item.add_marker("alone")


def _named(path: Path) -> bool:
    return any(str(each) in ALONE for each in (path, *path.parents))
