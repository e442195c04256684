"""Wrong keys: slowed down by address, counted, and told in few lines; good keys pass beside any number of them."""

from __future__ import annotations

import pytest
from nexus_gateway.access import Principal
from nexus_gateway.http.strangers import AT_ONCE, LINE_SECONDS, PER_SECOND, Strangers
from nexus_mesh.core.errors import MeshError, Reason
from structlog.testing import capture_logs

pytestmark = pytest.mark.security


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


SOMEBODY = Principal("key", "somebody")


async def authenticate(credential: str | None) -> Principal:
    if credential == "down":
        raise MeshError(Reason.AUTH_UNAVAILABLE, "the vault is away")
    if credential != "good":
        raise MeshError(Reason.CALLER_KEY, "no such key")
    return SOMEBODY


async def ask(
    strangers: Strangers, credential: str | None = "bad", address: str = "10.0.0.1"
) -> MeshError | Principal:
    try:
        return await authenticate(credential)
    except MeshError as refused:
        try:
            strangers.count(refused, credential, address)
        except MeshError as slowed:
            return slowed
        return refused


def reason(answer: MeshError | Principal) -> Reason:
    assert isinstance(answer, MeshError)
    return answer.reason


async def test_after_so_many_they_are_slowed_down() -> None:
    """A17: with a Retry-After after which one is free again."""
    clock = Clock()
    strangers = Strangers(clock)
    for _ in range(int(AT_ONCE)):
        assert reason(await ask(strangers)) is Reason.CALLER_KEY
    slowed = await ask(strangers)
    assert isinstance(slowed, MeshError)
    assert (slowed.reason, slowed.retry_after) == (Reason.RATE_LIMIT, 1 / PER_SECOND)
    clock.now += 1 / PER_SECOND
    assert reason(await ask(strangers)) is Reason.CALLER_KEY
    assert reason(await ask(strangers)) is Reason.RATE_LIMIT


async def test_good_keys_get_in_beside_any_number() -> None:
    """A17: whoever shares the address is not locked out, nor is anybody elsewhere slowed down."""
    strangers = Strangers(Clock())
    for _ in range(500):
        await ask(strangers)
    assert await ask(strangers, "good") == SOMEBODY
    assert reason(await ask(strangers, address="10.0.0.2")) is Reason.CALLER_KEY


async def test_what_is_no_wrong_key_does_not_count() -> None:
    strangers = Strangers(Clock())
    for _ in range(500):
        assert reason(await ask(strangers, None)) is Reason.CALLER_KEY
        assert reason(await ask(strangers, "down")) is Reason.AUTH_UNAVAILABLE


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "somewhere", False),
    ],
)
async def test_whoever_has_many_addresses_is_one(one: str, other: str, together: bool) -> None:
    strangers = Strangers(Clock())
    for _ in range(int(AT_ONCE)):
        await ask(strangers, address=one)
    expected = Reason.RATE_LIMIT if together else Reason.CALLER_KEY
    assert reason(await ask(strangers, address=other)) is expected


async def test_a_thousand_are_a_line_a_minute() -> None:
    """A17: each wrote a line."""
    clock = Clock()
    strangers = Strangers(clock)
    with capture_logs() as lines:
        for _ in range(1000):
            await ask(strangers)
        clock.now += LINE_SECONDS
        await ask(strangers)
    assert [line["count"] for line in lines] == [1, 1000]
