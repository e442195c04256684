"""The stages sorted by what they depend on, each judged as early and as seldom as that allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, cast

from nexus_routing.policy import Policy
from nexus_routing.stages import Ask, Candidate, Case, On, Stage

__all__ = ["Compiled", "by_demand", "by_table", "first_refusal", "passing"]


class Compiled:
    """`every`: all of them, in the order in which they are asked and told."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.every = tuple(stages)
        self.table, self.demand, self.request, self.now = (
            tuple(stage for stage in stages if stage.on is on) for on in On
        )


class _Undeclared:
    """Stands for what a stage must not look at, for it would be asked too seldom to see it change."""

    def _refuse(self, *_: object) -> NoReturn:
        raise LookupError("A routing stage reads what it does not say it depends on: raise its `on`.")

    __bool__ = __contains__ = __iter__ = __eq__ = __hash__ = __sub__ = __rsub__ = __le__ = _refuse  # type: ignore[assignment]

    def __getattr__(self, _: str) -> NoReturn:
        self._refuse()


UNDECLARED = cast(Any, _Undeclared())


def by_table(policy: Policy, operation: int) -> Ask:
    """What a stage that depends on the table may see."""
    return Ask(policy, operation, UNDECLARED, UNDECLARED, UNDECLARED, UNDECLARED)


def by_demand(ask: Ask) -> Ask:
    """The same of one that depends on the demand."""
    return ask._replace(requirements=UNDECLARED, conditions=UNDECLARED)


def first_refusal(case: Case, stages: Iterable[Stage]) -> tuple[Stage, str] | None:
    """The first stage that refuses and its reason; None when all let the target pass."""
    for stage in stages:
        reason = stage.refuse(case)
        if reason is not None:
            return stage, reason
    return None


def passing(stages: Iterable[Stage], candidates: Sequence[Candidate], ask: Ask) -> Sequence[Candidate]:
    """Those that no stage refuses."""
    out: set[int] = set()
    for stage in stages:
        out.update(stage.among(candidates)(ask))
    return [each for place, each in enumerate(candidates) if place not in out] if out else candidates
