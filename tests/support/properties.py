"""How many examples a property gets: 200 while one works (`dev`), 10,000 where CI is set (`ci`)."""

from __future__ import annotations

import os

from hypothesis import given, settings

__all__ = ["PROFILE", "examples", "given"]

PROFILE = "ci" if os.environ.get("CI") else "dev"

settings.register_profile("dev", max_examples=200, deadline=None)
settings.register_profile("ci", max_examples=10_000, deadline=None, print_blob=True)
settings.load_profile(PROFILE)


def examples(most: int, steps: int = 50) -> settings:
    """The profile's number, or `most` where one example costs much. `steps` of each example of a machine of states."""
    return settings(max_examples=min(most, settings.default.max_examples), stateful_step_count=steps)
