"""The client reads the gateway's HTTP errors as the gateway means them."""

from __future__ import annotations

from nexus_client.failures import CODES
from nexus_gateway.http.status import MID_STREAM, REASONS


def test_every_code_of_the_gateway_is_read_as_a_reason_that_has_it() -> None:
    codes = {answer.code for answer in REASONS.values()} | set(MID_STREAM.values())
    assert set(CODES) == codes
    for code, reason in CODES.items():
        assert code in (REASONS[reason].code, MID_STREAM.get(reason)), code
