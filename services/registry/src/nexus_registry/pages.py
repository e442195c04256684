"""Lists in pages: a token names the list and the last id seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nexus_mesh.rpc import not_of_this_list, page_size, token_of, words_in

from nexus_registry.kind import Row


def page(
    rows: Iterable[Row], id_of: Callable[[Row], str], which: str, size: int, token: str
) -> tuple[list[Row], str]:
    """One page of rows (given by id) and the token of the next (or ""). Raises INVALID_REQUEST.

    `which` tells lists of other rows apart, for example by a filter: a token is good for its own list alone.
    """
    limit, after = page_size(size), ""
    if token:
        given, after = words_in(token, 2)
        if given != which:
            raise not_of_this_list()
    rest = [row for row in rows if id_of(row) > after]
    chosen = rest[:limit]
    return chosen, token_of(which, id_of(chosen[-1])) if len(rest) > limit else ""
