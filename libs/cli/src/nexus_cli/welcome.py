"""What a ready mesh tells its user: the endpoint, the models, and a line to copy."""

from __future__ import annotations

from typing import Any

import aiohttp
from rich.console import Console

__all__ = ["models", "show"]


async def models(session: aiohttp.ClientSession, http: str) -> list[dict[str, Any]]:
    """The rows of /v1/models; empty when a key is needed to see them."""
    async with session.get(f"{http}/v1/models") as response:
        return list((await response.json())["data"]) if response.status == 200 else []


def show(console: Console, http: str, found: list[dict[str, Any]]) -> None:
    """Prints the welcome."""
    console.print("\n[bold green]NEXUS is ready.[/bold green]\n")
    console.print(f"  Endpoint  [bold]{http}/v1[/bold]")
    for number, row in enumerate(found[:12]):
        console.print(
            f"  {'Models' if not number else '':8}  {row['id']}  [dim]{row.get('owned_by', '')}[/dim]"
        )
    if len(found) > 12:
        console.print(f"            and {len(found) - 12} more: nexus models")
    model = found[0]["id"] if found else "MODEL"
    body = f'{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    key = "" if found else ' -H "Authorization: Bearer $KEY"'
    console.print("\n  Try it:")
    console.print(
        f"  curl -N {http}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{body}'",
        markup=False,
        soft_wrap=True,
    )
    if not found:
        console.print("\n  This endpoint needs a key: nexus keys create NAME", markup=False)
    console.print("\n  Ctrl-C stops it.\n")
