"""List in pages."""

from __future__ import annotations

import base64

import pytest
from hypothesis import strategies as st
from nexus.registry.v1.instance_pb2 import Instance
from nexus_mesh.core.errors import MeshError, Reason
from nexus_registry import pages
from nexus_registry.instances import INSTANCES
from support.properties import examples, given

ROWS = [Instance(id=f"{number:04}", role=("adapter", "gateway")[number % 2]) for number in range(1500)]


def page(rows: list[Instance], role: str, size: int, token: str) -> tuple[list[Instance], str]:
    wanted = [row for row in rows if role in ("", row.role)]
    return pages.page(wanted, INSTANCES.id_of, role, size, token)


@examples(2_000)
@given(st.integers(1, 90), st.sampled_from(["", "adapter", "gateway"]))
def test_pages_together_are_the_whole(size: int, role: str) -> None:
    seen, token = [], ""
    while True:
        rows, token = page(ROWS[:80], role, size, token)
        assert len(rows) <= size
        seen += rows
        if not token:
            break
    assert seen == [row for row in ROWS[:80] if role in ("", row.role)]


def test_sizes() -> None:
    assert len(page(ROWS, "", 0, "")[0]) == 100
    assert len(page(ROWS, "", 5000, "")[0]) == 1000
    with pytest.raises(MeshError) as caught:
        page(ROWS, "", -1, "")
    assert caught.value.metadata == {"param": "page_size"}


def test_an_exact_last_page_has_no_token() -> None:
    assert page(ROWS[:100], "", 100, "")[1] == ""


@pytest.mark.parametrize("forged", ["x", "é", "{}", '["adapter"]', '["gateway", "1"]', '["adapter", 1]', "1"])
def test_a_token_that_is_not_ours_is_refused(forged: str) -> None:
    for token in (forged, base64.urlsafe_b64encode(forged.encode()).decode()):
        with pytest.raises(MeshError) as caught:
            page(ROWS, "adapter", 10, token)
        assert caught.value.reason is Reason.INVALID_REQUEST


def test_a_row_that_left_between_two_pages_breaks_nothing() -> None:
    first, token = page(ROWS[:10], "", 5, "")
    second, _ = page([row for row in ROWS[:10] if row != first[-1]], "", 5, token)
    assert second == ROWS[5:10]
