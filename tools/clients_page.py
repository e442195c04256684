"""Writes docs/clients.md from examples/versions.toml, which the tests of the examples hold to what they ran.

python tools/clients_page.py [--check]     (--check: says whether it is stale, writes nothing)
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "clients.md"
HEAD = """\
# Clients

Whatever speaks OpenAI's API works unchanged: give it the address `http://127.0.0.1:8080/v1` and a key. On loopback
the endpoint is open, so any text will do for clients that insist on one; elsewhere `nexus keys create laptop` makes it.

What is listed here was run, in this version, at an endpoint that demands a key, and the gateway's own log says that it
was asked for what stands here as tried. Each has a folder to copy in `examples/`; the tests are in
`tests/e2e/test_examples.py` and `tests/clients`. The engine was a scripted one: this tells of clients, not of what a
model can do.

This page is written by `make clients-page` from `examples/versions.toml`.
"""


@dataclass(frozen=True, slots=True)
class Client:
    """A row of examples/versions.toml; `packages` are names at the client's own index, with their versions."""

    client: str
    packages: Mapping[str, str]
    tried: tuple[str, ...]
    line: str
    ran_by: str
    note: str = ""


def clients() -> dict[str, Client]:
    """By the folder of the example."""
    rows = tomllib.loads((EXAMPLES / "versions.toml").read_text())
    return {name: Client(**{**row, "tried": tuple(row["tried"])}) for name, row in rows.items()}


def page() -> str:
    return "\n".join([HEAD, *table(clients())])


def table(rows: Mapping[str, Client]) -> Iterable[str]:
    yield "| client | version tried | what was tried | how to point it at NEXUS | run by |"
    yield "|---|---|---|---|---|"
    for folder, row in rows.items():
        versions = "<br>".join(f"`{name}` {version}" for name, version in row.packages.items())
        client, tried = f"[{row.client}](../examples/{folder}/README.md)", ", ".join(row.tried)
        yield f"| {client} | {versions} | {tried} | {row.line} | `{row.ran_by}` |"
    yield ""
    yield from (f"- {row.client}: {row.note}" for row in rows.values() if row.note)
    yield ""


def main() -> int:
    wanted = page()
    stale = not PAGE.exists() or PAGE.read_text() != wanted
    if "--check" in sys.argv:
        if stale:
            sys.stderr.write(
                "docs/clients.md is not what examples/versions.toml says; run `make clients-page`\n"
            )
        return int(stale)
    if stale:
        PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
