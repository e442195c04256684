"""What a ready mesh tells its user: the endpoint, the models, and a line to copy."""

from __future__ import annotations

import json
import shlex
from typing import Any

import aiohttp
from nexus_inference_adapters.config import BUILTIN, TOY
from rich.console import Console
from rich.text import Text

from nexus_cli.output import shown

__all__ = ["models", "show"]

MOST_SHOWN = 12


async def models(session: aiohttp.ClientSession, http: str) -> list[dict[str, Any]]:
    """The rows of /v1/models; empty when a key is needed to see them."""
    async with session.get(f"{http}/v1/models") as response:
        return list((await response.json())["data"]) if response.status == 200 else []


def show(console: Console, http: str, found: list[dict[str, Any]]) -> None:
    """Prints the welcome."""
    console.print(Text("\nNEXUS is ready.\n", "bold green"))
    console.print(Text.assemble("  Endpoint  ", (f"{http}/v1", "bold")))
    for number, row in enumerate(found[:MOST_SHOWN]):
        first = "Models" if not number else ""
        console.print(Text(f"  {first:8}  {shown(row['id'])}"))
    if len(found) > MOST_SHOWN:
        console.print(f"            and {len(found) - MOST_SHOWN} more: nexus models")
    model = found[0]["id"] if found else "MODEL"
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    key = "" if found else ' -H "Authorization: Bearer $KEY"'
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    console.print("\n  Try it:")
    console.print(f"  curl -N {http}/v1/chat/completions{key} -H 'Content-Type: application/json' -d {data}")
    if not found:
        console.print("\n  This endpoint needs a key: nexus keys create NAME")
    if [row["id"] for row in found] == [TOY]:
        console.print(f"\n  {TOY} knows a dozen sentences. A real model: nexus pull {BUILTIN}")
    console.print("\n  Ctrl-C stops it.\n")
