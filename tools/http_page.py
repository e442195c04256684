"""Writes docs/http.md from the constants of the edge: its URLs, headers and errors.

python tools/http_page.py [--check]     (--check: says whether it is stale, writes nothing)
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from nexus_gateway.dialects import own_headers
from nexus_gateway.dialects.errors import DOCS
from nexus_gateway.http import ALWAYS, EDGE, ON_FAILURE, REASONS, EdgeOptions, Row
from nexus_gateway.http.status import CHOSEN, MID_STREAM
from nexus_gateway.routes import build_app
from nexus_mesh.core import Reason

PAGE = Path(__file__).parent.parent / "docs" / "http.md"
HEAD = """\
# HTTP

The endpoint speaks OpenAI's API; this page has what NEXUS adds. A running gateway describes itself at `/openapi.json`,
with every parameter. Paths under `/v1` are there without it too, and what may be read by `GET` is there for `HEAD`.
Where keys are needed they are sent as `Authorization: Bearer nx_...`; public paths take none.

This page is written by `make http-page` from the code.
"""
ERRORS = f"""\
An answer that failed has the status and this body, for every URL; a stream that fails after its head was sent has it as
its last event, without `[DONE]`. Programs go by `code`; `docs` leads to its paragraph in
[troubleshooting.md]({Path(DOCS).name}).

```json
{{"error": {{"message": "...", "type": "...", "param": "messages[0].role", "code": "...", "docs": "{DOCS}#..."}}}}
```

`context` stands beside them when nobody can serve now: [routing.md](routing.md#who-answered-and-why). "Again" = the
same request is worth sending again (`X-Should-Retry`).
"""


def page() -> str:
    return "\n".join([HEAD, *urls(), *headers(), *errors()])


def rows() -> list[Row]:
    """Of an open endpoint: those of one that needs keys are among them. Nobody is behind it: nothing can be called."""
    nobody = cast(Any, SimpleNamespace(refused=sys.exit, lifecycle=None, works=None, authenticate=None))
    app = cast(Any, build_app(nobody, EdgeOptions()))
    return list({id(route.app.row): route.app.row for route in app.routes}.values())


def urls() -> Iterable[str]:
    lines = [
        (row.prefixes[0] + (call.path or row.path).replace("_id:path", ""), call, row.public)
        for row in rows()
        for call in row.calls
    ]
    yield "## URLs\n"
    yield from table(
        ("", "", "", "public"),
        (
            (f"`{call.method}`", f"`{path}`", call.summary, "yes" if public else "")
            for path, call, public in sorted(lines, key=lambda line: line[0])
        ),
    )


def headers() -> Iterable[str]:
    told = {each.name: each.about for each in own_headers.TOLD}
    yield "## Headers of requests\n"
    yield "Any other that begins with `X-Nexus-` is refused: a demand with a slip in its name is not dropped.\n"
    yield from named(own_headers.ASKED)
    yield "## Headers of answers\n"
    yield "Of every answer:\n"
    yield from named(ALWAYS)
    yield "Of an answer that a backend gave (of a stream as far as it is known when it begins):\n"
    yield from named(told)
    yield "Of an answer that failed:\n"
    yield from named(ON_FAILURE)


def named(about: Mapping[bytes, str]) -> Iterable[str]:
    return table(("header", ""), ((f"`{name.decode().title()}`", text) for name, text in about.items()))


def errors() -> Iterable[str]:
    known = {(each.status, each.code): each for each in (*REASONS.values(), *EDGE.values())}
    bad = REASONS[Reason.INVALID_REQUEST]
    lines = [(status, code, each.type, each.retry) for (status, code), each in known.items()]
    lines += [(bad.status, code, bad.type, False) for code in CHOSEN if (bad.status, code) not in known]
    yield "## Errors\n"
    yield ERRORS
    yield from table(
        ("status", "code", "type", "again"),
        (
            (str(status), link(code), f"`{kind}`", "yes" if retry else "")
            for status, code, kind, retry in sorted(lines)
        ),
    )
    yield f"In a stream that had begun: {', '.join(link(code) for code in sorted(set(MID_STREAM.values())))}.\n"


def link(code: str) -> str:
    return f"[`{code}`]({Path(DOCS).name}#{code})"


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> Iterable[str]:
    for cells in (head, tuple("---" for _ in head), *lines):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def main() -> int:
    wanted = page()
    stale = not PAGE.exists() or PAGE.read_text() != wanted
    if "--check" in sys.argv:
        if stale:
            sys.stderr.write("docs/http.md is not what the code says; run `make http-page`\n")
        return int(stale)
    if stale:
        PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
