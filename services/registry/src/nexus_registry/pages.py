"""List in pages: opaque tokens that name the last id seen."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable

from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.errors import MeshError, Reason

DEFAULT_SIZE = 100
LARGEST_SIZE = 1000


def page(instances: Iterable[Instance], role: str, size: int, token: str) -> tuple[list[Instance], str]:
    """One page of instances (given by id) and the token of the next (or ""). Raises INVALID_REQUEST."""
    if size < 0:
        raise MeshError(
            Reason.INVALID_REQUEST, "page_size must not be negative.", metadata={"param": "page_size"}
        )
    limit = min(size or DEFAULT_SIZE, LARGEST_SIZE)
    after = _decode(token, role) if token else ""
    rest = [item for item in instances if item.id > after and role in ("", item.role)]
    chosen = rest[:limit]
    return chosen, _encode(role, chosen[-1].id) if len(rest) > limit else ""


def _encode(role: str, last_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([role, last_id]).encode()).decode()


def _decode(token: str, role: str) -> str:
    try:
        for_role, last_id = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        for_role, last_id = None, None
    if for_role != role or not isinstance(last_id, str):
        raise MeshError(
            Reason.INVALID_REQUEST,
            "page_token is not of this listing: pass next_page_token of the page before, and the same role.",
            metadata={"param": "page_token"},
        )
    return last_id
