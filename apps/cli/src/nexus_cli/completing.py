"""What a shell offers on Tab: commands, flags, and the names that the running mesh has."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from nexus_mesh.core import default_home
from typer import Context

from nexus_cli import names
from nexus_cli.layout import Layout

__all__ = ["SCRIPTS", "WORD", "answer", "backends", "keys", "models", "services"]

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
    root = get_command(app)
    for parameter in _parameters(root):
        parameter._runtime_param = _AsGiven()
    context = click._resolve_context(root, {}, "nexus", given)
    asked, last = click._resolve_incomplete(context, given, last)
    for item in asked.shell_complete(context, last):
        sys.stdout.write(f"{item.value}\t{item.help}\n" if item.help else f"{item.value}\n")


class _AsGiven:
    """In place of typer's conversion of values, for which it loads pydantic, a third of a second: none is needed."""

    def coerce(self, value: Any, **_: object) -> Any:
        return value


def _parameters(command: Any) -> Iterator[Any]:
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from _parameters(below)


def models(context: Context, incomplete: str) -> list[str]:
    """Names of models."""
    return _offered("models", context, incomplete)


def backends(context: Context, incomplete: str) -> list[str]:
    """Names of backends."""
    return _offered("backends", context, incomplete)


def keys(context: Context, incomplete: str) -> list[str]:
    """Names of keys that are not revoked."""
    return _offered("keys", context, incomplete)


def services(context: Context, incomplete: str) -> list[str]:
    """What has a log in this home."""
    logs = (file.stem for file in (_layout(context).home / "logs").glob("*.log"))
    return sorted(name for name in logs if name.startswith(incomplete))


def _offered(kind: str, context: Context, incomplete: str) -> list[str]:
    return [name for name in names.read(_layout(context), kind) if name.startswith(incomplete)]


def _layout(context: Context) -> Layout:
    return Layout(Path(context.params.get("home") or _home_given() or default_home()))


def _home_given() -> str | None:
    """The words come after `__complete`, and a flag behind the word that is completed counts too."""
    return next((value for flag, value in pairwise(sys.argv) if flag == "--home"), None)
