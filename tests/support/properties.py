"""How many examples a property gets: 200 while one works (`dev`), 10,000 where CI is set (`ci`)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, given, settings

__all__ = ["PROFILE", "examples", "given"]

PROFILE = "ci" if os.environ.get("CI") else "dev"

EXAMPLES = {"dev": 200, "ci": 10_000}

for name, number in EXAMPLES.items():
    settings.register_profile(name, max_examples=number, deadline=None, print_blob=name == "ci")
settings.load_profile(PROFILE)


SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def examples(most: int, steps: int = 50, *, slow: bool = False, shrinks: bool = True) -> settings:
    """The profile's number, or `most` where one example costs much. `steps` of each example of a machine of states.

    `slow`: it takes long to draw one. Without `shrinks` one that fails is told as it was drawn: where the smallest one
    would cost an answer of a model for each try.
    """
    return settings(
        max_examples=min(most, EXAMPLES[PROFILE]),
        stateful_step_count=steps,
        suppress_health_check=SLOW if slow else (),
        phases=tuple(Phase) if shrinks else (Phase.generate,),
    )
