"""GET / for strangers: a page of our own for people, with nothing from elsewhere, and the same as JSON for programs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from nexus_gateway.access import Principal
from nexus_gateway.http import Exchange, Handler, Header

__all__ = ["FrontDoor", "Listed", "front_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "pre{background:#f4f4f4;padding:1rem;overflow:auto}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_ALWAYS: Sequence[Header] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept"),
)
_OF_PAGE: Sequence[Header] = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"referrer-policy", b"no-referrer"),
    *_ALWAYS,
)
_HTML = b"text/html; charset=utf-8"
SHOWN = 5
PLAIN = re.compile(r"[\w./:@+-]{1,48}", re.ASCII)
"""Names that mean nothing else to a shell: backends choose them, and people copy the lines they stand in."""
HOST = re.compile(r"[\w.-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?", re.ASCII)


class Named(Protocol):
    @property
    def id(self) -> str: ...


class Listed(Protocol):
    """The part of the pipeline that tells whom which models are for; None = whoever may use all."""

    def models(self, principal: Principal | None = None) -> Iterable[Named]: ...


class FrontDoor(Struct):
    """What a program is told at `/`. `models` only where whoever comes may use them."""

    base_url: str
    needs_key: bool
    models: list[str] | UnsetType = UNSET
    object: str = "endpoint"
    name: str = "NEXUS"
    models_url: str = "/v1/models"
    openapi_url: str = "/openapi.json"
    health_url: str = "/health"


def front_page(pipeline: Listed, *, needs_key: bool) -> Handler:
    """The handler. Where a key is needed nobody has shown one yet, and models are not for strangers."""

    async def handle(exchange: Exchange) -> None:
        host = exchange.fields.get(b"host", b"").decode("latin-1")
        url = f"http://{host if HOST.fullmatch(host) else '127.0.0.1'}/v1"
        models = None if needs_key else [row.id for row in pipeline.models()]
        if b"text/html" in exchange.fields.get(b"accept", b"").lower():
            await exchange.respond(200, _page(url, models), _OF_PAGE, _HTML)
        else:
            told = FrontDoor(url, needs_key, UNSET if models is None else models)
            await exchange.respond(200, msgspec.json.encode(told), _ALWAYS)

    return handle


def _page(url: str, models: Sequence[str] | None) -> bytes:
    """`models` None = a key is needed."""
    plain = [name for name in models or () if PLAIN.fullmatch(name)]
    body = json.dumps({"model": (plain or ["MODEL"])[0], "messages": [{"role": "user", "content": "Hello"}]})
    lines = (
        f"export OPENAI_BASE_URL={url} OPENAI_API_KEY={'nx_...' if models is None else 'none'}\n"
        'curl $OPENAI_BASE_URL/models -H "Authorization: Bearer $OPENAI_API_KEY"\n'
        'curl $OPENAI_BASE_URL/chat/completions -H "Authorization: Bearer $OPENAI_API_KEY" '
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>NEXUS</title>
<style>{_STYLE}</style>
<h1>NEXUS is running</h1>
<p>One OpenAI-compatible endpoint in front of the model servers of this mesh:</p>
<pre>{escape(url)}</pre>
<p>{_who(models, plain)}</p>
<p>Give that address to any OpenAI client as its base URL, or try it by hand:</p>
<pre>{escape(lines)}</pre>
<p>Every path of it: <a href="/openapi.json">openapi.json</a>. On its machine
<code>nexus status</code> shows every part.</p>
</html>
""".encode()


def _who(models: Sequence[str] | None, plain: Sequence[str]) -> str:
    if models is None:
        return "Every request needs an API key, which <code>nexus keys create NAME</code> makes."
    if not models:
        return "No API key is needed. No model is offered now; <code>nexus doctor</code> tells why."
    shown = [f"<code>{name}</code>" for name in plain[:SHOWN]]
    if more := len(models) - len(shown):
        shown.append(f"and {more} more" if shown else f"{more}")
    return f"No API key is needed. Models: {', '.join(shown)}."
