"""The history, page by page."""

from __future__ import annotations

import base64

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_router.policy.convert import page

HISTORY = [(number, f"r{number}") for number in range(10, 0, -1)]


def test_the_pages_together_are_the_history() -> None:
    seen, token = [], ""
    while True:
        rows, token = page(HISTORY, 3, token)
        seen += rows
        if not token:
            break
    assert seen == HISTORY


def test_what_comes_meanwhile_disturbs_no_page() -> None:
    first, token = page(HISTORY, 4, "")
    second, _ = page([(11, "r11"), *HISTORY], 4, token)
    assert [number for number, _ in (*first, *second)] == [10, 9, 8, 7, 6, 5, 4, 3]


@pytest.mark.parametrize(
    ("size", "token"), [(-1, ""), (0, "x"), (0, base64.b64encode(b"below -1").decode()), (0, "\u00e9")]
)
def test_what_is_refused(size: int, token: str) -> None:
    with pytest.raises(MeshError) as caught:
        page(HISTORY, size, token)
    assert caught.value.reason is Reason.INVALID_REQUEST
