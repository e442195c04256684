"""`nexus explain MODEL`: every candidate, and why it won or lost."""

from __future__ import annotations

import difflib

from nexus.router.v1 import router_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.rpc import Method

from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.operator import control
from nexus_cli.output import Failure, console, print_json, print_rows

__all__ = ["explain"]

EXPLAIN = Method(
    "nexus.router.v1.RouterService", "Explain", router_pb2.ExplainRequest, router_pb2.ExplainResponse
)


async def explain(
    layout: Layout, model: str, operation: str, needs: list[str], zone: str, *, as_json: bool
) -> None:
    request = router_pb2.ExplainRequest(
        model=model,
        zone=zone,
        operation=_value(model_pb2.Operation.items(), "OPERATION_", operation, "--operation"),  # type: ignore[arg-type]
        capabilities=[_value(model_pb2.Capability.items(), "CAPABILITY_", need, "--need") for need in needs],  # type: ignore[misc]
    )
    async with control(layout, "router") as router:
        answer = await router.unary(EXPLAIN, request, timeout=5.0)
    rows = [
        {
            "target": one.target,
            "rank": one.rank,
            "model": one.model or None,
            "stage": one.stage,
            "reason": one.reason,
        }
        for one in answer.candidates
    ]
    if not answer.model:
        raise await _unknown(layout, model)
    if as_json:
        print_json(
            {
                "model": answer.model,
                "snapshot": answer.snapshot_version,
                "policy": answer.policy_revision,
                "candidates": rows,
            }
        )
        return
    if answer.model != model:
        console.print(f"{model} stands for {answer.model}\n")
    cells = [
        [row["rank"] or "-", row["target"], row["model"] or "-", row["stage"] or "chosen", row["reason"]]
        for row in rows
    ]
    print_rows(
        ["RANK", "TARGET", "MODEL", "STAGE", "WHY"], cells, empty="The mesh has no backends yet: nexus status"
    )


async def _unknown(layout: Layout, model: str) -> Failure:
    known = {
        offered.id
        for instance in await listed(layout, "adapter")
        for backend in instance.status.backends
        for offered in backend.models
    }
    near = difflib.get_close_matches(model, sorted(known), 3, 0.5)
    guess = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    return Failure(f"No backend offers {model!r}.", f"{guess}`nexus models` lists what there is.")


def _value(items: list[tuple[str, int]], prefix: str, name: str, flag: str) -> int:
    known = {key.removeprefix(prefix).lower(): value for key, value in items if value}
    if name.lower() not in known:
        raise Failure(f"{flag} {name!r} is unknown.", f"Known are {', '.join(known)}.")
    return known[name.lower()]
