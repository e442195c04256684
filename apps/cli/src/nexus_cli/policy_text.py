"""A policy as a file and on the screen: TOML as in nexus.toml for people, the table's JSON for the router."""

from __future__ import annotations

import difflib
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from nexus_cli.output import Failure

__all__ = ["changes", "read", "to_toml"]

STDIN = "-"
TABLE = "routing"
ADVICE = 'A policy is written as in nexus.toml, for example:\n[routing.aliases]\n"gpt-4o" = "llama3.1:70b"'


def read(file: str) -> str:
    """The policy in a file, as JSON text. Takes TOML, and JSON as `nexus policy show --json` has it."""
    text = _content(file)
    if text.lstrip().startswith("{"):
        return text
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{_name(file)} is not valid TOML: {error}.", ADVICE) from None
    others = sorted(set(document) - {TABLE})
    if others:
        named = ", ".join(f"[{other}]" for other in others)
        raise Failure(f"{_name(file)} has more in it than [{TABLE}]: {named}.", ADVICE)
    if TABLE not in document:
        raise Failure(f"{_name(file)} has no table [{TABLE}].", f"{ADVICE}\nAn empty policy is: [{TABLE}]")
    return json.dumps(document[TABLE], default=str)


def to_toml(text: str) -> str:
    """A policy's JSON text as TOML, in its author's order."""
    return tomli_w.dumps({TABLE: json.loads(text)})


def changes(before: str, after: str, before_name: str, after_name: str) -> list[str]:
    """Lines of a unified diff of two policies' JSON texts, whatever order their names are in; empty when equal."""
    old, new = (to_toml(json.dumps(_sorted(json.loads(text)))).splitlines() for text in (before, after))
    return list(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(each) for each in value] if isinstance(value, list) else value


def _content(file: str) -> str:
    try:
        return sys.stdin.read() if file == STDIN else Path(file).read_text("utf-8-sig")
    except OSError as error:
        raise Failure(
            f"{file} cannot be read: {error.strerror}.", "Give the path of a policy, or - ."
        ) from None
    except UnicodeDecodeError:
        raise Failure(f"{_name(file)} is not text in UTF-8.", ADVICE) from None


def _name(file: str) -> str:
    return "The standard input" if file == STDIN else file
