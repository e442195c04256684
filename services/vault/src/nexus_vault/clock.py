"""The time, as a value that tests can replace."""

from __future__ import annotations

import datetime
from collections.abc import Callable

__all__ = ["Clock", "utc_now"]

Clock = Callable[[], datetime.datetime]


def utc_now() -> datetime.datetime:
    """The current time, aware, UTC."""
    return datetime.datetime.now(datetime.UTC)
