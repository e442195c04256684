"""Options of gRPC channels and servers. Of two with the same name gRPC takes the first and tells nobody."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Option", "Options", "merged"]

Option = tuple[str, int | str]
Options = tuple[Option, ...]


def merged(*groups: Iterable[Option]) -> Options:
    """The options of all groups, each name once: what a later group says replaces what an earlier one said."""
    return tuple({name: value for group in groups for name, value in group}.items())
