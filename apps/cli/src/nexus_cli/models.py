"""`nexus models`: what can be asked for, where it runs, what it can do."""

from __future__ import annotations

from nexus.types.v1 import model_pb2

from nexus_cli.instances import STATES, listed
from nexus_cli.layout import Layout
from nexus_cli.output import print_json, print_rows

__all__ = ["models"]


async def models(layout: Layout, *, as_json: bool) -> None:
    rows = [
        {
            "id": model.id,
            "backend": backend.name,
            "kind": backend.kind,
            "instance": instance.id,
            "zone": instance.zone,
            "state": STATES[backend.state] if instance.connected else "lost",
            "context_tokens": model.context_tokens or None,
            "remote": model.remote,
            "license": model.license or None,
            "source": model.source or None,
            "operations": [
                _name(model_pb2.Operation.Name(value), "OPERATION_") for value in model.operations
            ],
            "capabilities": [
                _name(model_pb2.Capability.Name(value), "CAPABILITY_") for value in model.capabilities
            ],
        }
        for instance in await listed(layout, "adapter")
        for backend in instance.status.backends
        for model in backend.models
    ]
    rows.sort(key=lambda row: (row["id"], row["instance"], row["backend"]))
    if as_json:
        print_json(rows)
        return
    cells = [
        [
            row["id"],
            f"{row['backend']} on {row['instance']}",
            row["state"],
            row["context_tokens"] or "?",
            row["license"] or "?",
            _can(row),
        ]
        for row in rows
    ]
    empty = "No models yet. Start an engine (Ollama, llama.cpp, MLX, vLLM) or give one: nexus up --model FILE.gguf"
    print_rows(["MODEL", "BACKEND", "STATE", "CONTEXT", "LICENCE", "CAN"], cells, empty=empty)


def _can(row: dict[str, object]) -> str:
    remote = ["leaves the machine"] if row["remote"] else []
    return ", ".join([*row["operations"], *row["capabilities"], *remote])  # type: ignore[misc]


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
