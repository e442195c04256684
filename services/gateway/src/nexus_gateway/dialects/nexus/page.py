"""GET / for people: a page of our own, with nothing from elsewhere, that says what this is and how to use it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from html import escape

from nexus_gateway.dialects.errors import unknown_url
from nexus_gateway.http import Exchange, Header

__all__ = ["front_page"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}"
    "body{color:#222;background:#fff}"
    "pre{background:#f4f4f4;padding:1rem;overflow:auto}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Sequence[Header] = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept"),
)
_HTML = b"text/html; charset=utf-8"


def front_page(*, needs_key: bool) -> Callable[[Exchange], Awaitable[None]]:
    """The handler. Programs, which do not ask for HTML, are told in JSON that nothing is here."""
    key = "$NEXUS_API_KEY" if needs_key else "none"
    who = (
        "Every request needs an API key, which <code>nexus keys create NAME</code> makes."
        if needs_key
        else "It is open to this machine: no API key is needed, and any is taken."
    )

    async def handle(exchange: Exchange) -> None:
        if b"text/html" not in exchange.fields.get(b"accept", b"").lower():
            raise unknown_url()
        host = exchange.fields.get(b"host", b"127.0.0.1").decode("latin-1")
        await exchange.respond(200, _page(f"http://{host}/v1", who, key), _HEADERS, _HTML)

    return handle


def _page(endpoint: str, who: str, key: str) -> bytes:
    where = escape(endpoint)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>NEXUS</title>
<style>{_STYLE}</style>
<h1>NEXUS is running</h1>
<p>It puts one OpenAI-compatible endpoint in front of the model servers of this mesh:</p>
<pre>{where}</pre>
<p>{who}</p>
<p>Give that address to any OpenAI client as its base URL, or try it by hand:</p>
<pre>curl {where}/models -H "Authorization: Bearer {key}"

curl {where}/chat/completions -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "MODEL", "messages": [{{"role": "user", "content": "Hello"}}]}}'</pre>
<p>On the machine it runs on, <code>nexus status</code> shows every part of it and <code>nexus models</code> what can be
asked for.</p>
</html>
""".encode()
