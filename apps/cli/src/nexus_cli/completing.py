"""What a shell offers on Tab: commands and flags at once, and what the running mesh has, if it tells in time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path

import typer
from nexus_mesh.core import default_home
from typer import Context

from nexus_cli.layout import Layout
from nexus_cli.output import Failure

__all__ = ["SCRIPTS", "WORD", "answer", "backends", "keys", "models", "services"]

SECONDS = 0.3
"""For everything that is asked of the mesh at one Tab."""
WORD = "__complete"
"""`nexus __complete WORD...` prints what may stand in the last word's place: a line each, its help behind a tab."""

BASH = """\
_nexus() {
    local line="${COMP_LINE:0:COMP_POINT}" words current before
    read -r -a words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    local IFS=$'\\n'
    COMPREPLY=($(nexus __complete "${words[@]:1}" 2>/dev/null | cut -f1))
    if [[ "$COMP_WORDBREAKS" == *:* && "$current" == *:* ]]; then
        before="${current%"${current##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -o default -F _nexus nexus
"""
ZSH = """\
#compdef nexus
_nexus() {
    local -a lines values
    lines=("${(@f)$(nexus __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    values=("${(@)lines%%$'\\t'*}")
    if [[ -n "${values[*]}" ]]; then
        compadd -l -d lines -- "${(@)values}"
    else
        _files
    fi
}
compdef _nexus nexus
"""
FISH = """\
function __nexus_complete
    set -l words (commandline -opc)
    nexus __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c nexus -f -a '(__nexus_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def answer(app: typer.Typer, words: Sequence[str]) -> None:
    """Prints the candidates for the last of the words."""
    from typer._click import shell_completion as click
    from typer.main import get_command

    given, last = list(words[:-1]), words[-1] if words else ""
    context = click._resolve_context(get_command(app), {}, "nexus", given)
    asked, last = click._resolve_incomplete(context, given, last)
    for item in asked.shell_complete(context, last):
        sys.stdout.write(f"{item.value}\t{item.help}\n" if item.help else f"{item.value}\n")


def models(context: Context, incomplete: str) -> list[str]:
    """Names of models."""
    return _offered(context, incomplete, _models)


def backends(context: Context, incomplete: str) -> list[str]:
    """Names of backends."""
    return _offered(context, incomplete, _backends)


def keys(context: Context, incomplete: str) -> list[str]:
    """Names of keys that are not revoked."""
    return _offered(context, incomplete, _keys)


def services(context: Context, incomplete: str) -> list[str]:
    """What has a log in this home."""
    names = (file.stem for file in (_layout(context).home / "logs").glob("*.log"))
    return sorted(name for name in names if name.startswith(incomplete))


async def _models(layout: Layout) -> set[str]:
    from nexus_cli.instances import listed

    found = await listed(layout, "adapter")
    return {model.id for one in found for backend in one.status.backends for model in backend.models}


async def _backends(layout: Layout) -> set[str]:
    from nexus_cli.instances import listed

    return {backend.name for one in await listed(layout, "adapter") for backend in one.status.backends}


async def _keys(layout: Layout) -> set[str]:
    from nexus_cli.keys import every

    return {str(row["name"]) for row in await every(layout) if not row["revoked"]}


def _offered(
    context: Context, incomplete: str, ask: Callable[[Layout], Coroutine[None, None, set[str]]]
) -> list[str]:
    """Nothing when the mesh does not tell in time: a shell that waits is worse than one that does not know."""
    layout = _layout(context)
    if layout.read() is None:
        return []
    import asyncio

    from nexus_mesh.core import MeshError

    from nexus_cli import instances, keys  # noqa: F401 - loaded before the time is taken

    async def in_time() -> set[str]:
        async with asyncio.timeout(SECONDS):
            return await ask(layout)

    try:
        found = asyncio.run(in_time())
    except (
        MeshError,
        Failure,
        OSError,
    ):  # a half-written line is no place to tell it; TimeoutError is an OSError
        return []
    return sorted(name for name in found if name.startswith(incomplete))


def _layout(context: Context) -> Layout:
    return Layout(context.params.get("home") or _home_given() or default_home())


def _home_given() -> Path | None:
    """The words come after `__complete`, and a flag behind the word that is completed counts too."""
    return next((Path(value) for flag, value in pairwise(sys.argv) if flag == "--home"), None)
