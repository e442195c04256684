"""What `resume` of a policy cannot bring about with the backends there are, said before a stream is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2

__all__ = ["doubts"]

GENERATE = {model_pb2.OPERATION_CHAT, model_pb2.OPERATION_COMPLETION}


def doubts(policy: Mapping[str, Any], instances: Iterable[instance_pb2.Instance]) -> list[str]:
    """A sentence for each name under `resume` whose cut streams nobody could go on with now."""
    backends: dict[str, set[str]] = {}
    generating: set[str] = set()
    for instance in instances:
        for backend in instance.status.backends:
            for model in backend.models:
                backends.setdefault(model.id, set()).add(f"{backend.name} on {instance.id}")
                if GENERATE & {*model.operations}:
                    generating.add(model.id)
    told: list[str] = []
    for pattern in policy.get("resume", ()):
        models = {
            _resolved(name, policy)
            for name in (*backends, *policy.get("aliases", {}))
            if fnmatchcase(name, pattern)
        }
        known = sorted(models & backends.keys())
        if not known:
            told.append(f"resume: no backend offers {pattern!r} now.")
        told += [
            sentence for model in known if (sentence := _doubt(model, backends[model], model in generating))
        ]
    return list(dict.fromkeys(told))


def _doubt(model: str, backends: set[str], generates: bool) -> str:
    if not generates:
        return f"resume: {model!r} writes no text that another backend could go on with."
    if len(backends) == 1:
        return (
            f"resume: only {next(iter(backends))} offers {model!r}, so nobody can go on with its cut streams."
        )
    return ""


def _resolved(name: str, policy: Mapping[str, Any]) -> str:
    """What an alias stands for in the end; a stored policy has no circles."""
    aliases = policy.get("aliases", {})
    while name in aliases:
        name = aliases[name]
    return name
