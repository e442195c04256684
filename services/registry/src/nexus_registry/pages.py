"""List in pages: a token names the role and the last id seen."""

from __future__ import annotations

from collections.abc import Iterable

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.rpc import not_of_this_list, page_size, token_of, words_in


def page(instances: Iterable[Instance], role: str, size: int, token: str) -> tuple[list[Instance], str]:
    """One page of instances (given by id) and the token of the next (or ""). Raises INVALID_REQUEST."""
    limit, after = page_size(size), ""
    if token:
        for_role, after = words_in(token, 2)
        if for_role != role:
            raise not_of_this_list()
    rest = [item for item in instances if item.id > after and role in ("", item.role)]
    chosen = rest[:limit]
    return chosen, token_of(role, chosen[-1].id) if len(rest) > limit else ""
