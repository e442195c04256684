"""Each code that a client can be told has its paragraph, under the anchor that the error's `docs` names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nexus_gateway.dialects.errors import DOCS, error_object
from nexus_gateway.http.status import CODES, REASONS
from nexus_gateway.validation.refusals import REQUEST_CODES
from nexus_inference_adapters.contract.errors import RULES
from nexus_mesh.core import MeshError

PAGE = Path(__file__).parents[2] / DOCS
PARAGRAPH = re.compile(r"^### `(\w+)`\n+(.+?)(?=\n#|\Z)", re.MULTILINE | re.DOTALL)


def paragraphs() -> dict[str, str]:
    return dict(PARAGRAPH.findall(PAGE.read_text()))


def test_every_code_has_a_paragraph_and_no_other_has() -> None:
    assert set(paragraphs()) == CODES


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_paragraph_says_what_to_do(code: str) -> None:
    """Shorter ones only say the name again."""
    assert len(paragraphs()[code].split()) >= 12


@pytest.mark.parametrize("reason", REASONS)
def test_an_error_links_to_a_heading_that_is_there(reason: str) -> None:
    link = str(error_object(MeshError(reason, "x"))["docs"])  # pyright: ignore[reportArgumentType]
    page, _, anchor = link.partition("#")
    assert (PAGE.parents[1] / page).is_file()
    assert anchor in paragraphs()


def test_what_adapters_say_of_a_request_is_among_the_codes() -> None:
    said = {rule.code for rule in RULES if rule.code}
    assert said
    assert said <= CODES - REQUEST_CODES
