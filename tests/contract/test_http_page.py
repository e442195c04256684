"""docs/http.md is what the code says, and `make check` would notice if it were not."""

from __future__ import annotations

import re
import sys

import pytest
from nexus_gateway.http.status import CODES

from tools import http_page


def test_the_page_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["http_page.py", "--check"])
    assert http_page.main() == 0


def test_a_stale_page_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["http_page.py", "--check"])
    monkeypatch.setattr(http_page, "HEAD", "# Something else")
    assert http_page.main() == 1
    assert "make http-page" in capsys.readouterr().err


def test_every_code_and_every_url_is_on_it() -> None:
    page = http_page.PAGE.read_text()
    assert set(re.findall(r"troubleshooting\.md#(\w+)", page)) == CODES
    for row in http_page.rows():
        assert row.calls, row.path
