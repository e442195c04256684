"""What a worker says of itself is held to its certificate."""

from __future__ import annotations

import datetime

import pytest
import structlog
from nexus.registry.v1.instance_pb2 import Backend, Status
from nexus.types.v1.model_pb2 import Model
from nexus_mesh.identity.caller import Caller
from nexus_mesh.identity.claims import Claims
from nexus_mesh.identity.spiffe import SpiffeId
from nexus_registry.claims import ClaimsGuard

pytestmark = pytest.mark.security
NOW = datetime.datetime.now(datetime.UTC)


def _caller(claims: Claims) -> Caller:
    who = SpiffeId("nexus.internal", "default", "worker", "adapter", "main")
    return Caller(who, NOW, NOW.timestamp(), "1", claims)


def _status(*models: str, priority: int = 0) -> Status:
    return Status(
        backends=[Backend(name="box", priority=priority, models=[Model(id=each) for each in models])]
    )


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), ["llama3.1:8b", "gpt-4o", "LLAMA"]),
        (("llama*",), ["llama3.1:8b"]),
        (("llama*", "gpt-4?"), ["llama3.1:8b", "gpt-4o"]),
        (("nothing",), []),
    ],
)
def test_models_that_were_not_allowed_are_dropped(patterns: tuple[str, ...], left: list[str]) -> None:
    """A13: other hosts' models cannot be claimed, and the reason is shown."""
    status = _status("llama3.1:8b", "gpt-4o", "LLAMA")
    ClaimsGuard().enforce(_caller(Claims(patterns)), status)
    (backend,) = status.backends
    assert [model.id for model in backend.models] == left
    assert ("join token" in backend.state_reason) == (len(left) < 3)


@pytest.mark.parametrize(
    ("asked", "floor", "given"), [(1, 50, 50), (0, 50, 0), (0, 60, 60), (70, 50, 70), (1, 0, 1), (49, 50, 50)]
)
def test_nobody_gets_a_better_place_than_allowed(asked: int, floor: int, given: int) -> None:
    """A13: a joined worker cannot put itself before everybody."""
    status = _status("m", priority=asked)
    ClaimsGuard().enforce(_caller(Claims(priority_floor=floor)), status)
    assert status.backends[0].priority == given


def test_a_reason_stays_short_and_is_logged_once() -> None:
    """A13: thousands of models make no endless reason, and a beat every second no endless log."""
    guard, caller = ClaimsGuard(), _caller(Claims(("none",)))
    status = Status()
    with structlog.testing.capture_logs() as logs:
        for _ in range(10):
            status = _status(*("m" * 250 + str(each) for each in range(2000)))
            guard.enforce(caller, status)
            assert len(status.backends[0].state_reason) <= 1024
    assert len(logs) == 1
