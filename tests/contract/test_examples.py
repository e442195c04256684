"""Every folder of examples/ is run by a test, what people copy names the versions run, and the page tells them."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools import clients_page
from tools.clients_page import EXAMPLES as FOLDER
from tools.clients_page import clients

TESTS = Path(__file__).parents[1]
OF_THE_SUITE = TESTS / "e2e" / "test_examples.py"
OF_THE_CLIENTS = TESTS / "clients" / "examples.py"
"""Both are read and not imported: what they stand on belongs to suites with servers."""
NO_CLIENTS = {"two-hosts", "zones"}
"""They show the mesh itself, by the client of another example."""


def _run_by_the_suite() -> set[str]:
    """The folders whose tests run in `make test`: test_two_hosts is of two-hosts."""
    tree = ast.parse(OF_THE_SUITE.read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    return {name.removeprefix("test_").replace("_", "-") for name in names if name.startswith("test_")}


def _run_by_make_clients() -> set[str]:
    """The keys of its table EXAMPLES."""
    (table,) = (
        node.value
        for node in ast.parse(OF_THE_CLIENTS.read_text()).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "EXAMPLES"
    )
    assert isinstance(table, ast.Dict)
    return {ast.literal_eval(key) for key in table.keys if key is not None}


def test_every_folder_is_run_by_a_test_and_tells_how_to_run_it() -> None:
    folders = {place.name for place in FOLDER.iterdir() if place.is_dir()}
    assert folders == _run_by_the_suite() | _run_by_make_clients()
    assert [name for name in sorted(folders) if not (FOLDER / name / "README.md").is_file()] == []
    assert set(re.findall(r"\]\(([a-z-]+)\)", (FOLDER / "README.md").read_text())) == folders


def test_every_client_has_its_row_and_says_who_runs_it() -> None:
    suite = _run_by_the_suite() - NO_CLIENTS
    assert {name: row.ran_by for name, row in clients().items()} == {
        **dict.fromkeys(suite, "make test"),
        **dict.fromkeys(_run_by_make_clients(), "make clients"),
    }


def test_what_people_copy_names_the_versions_that_are_run() -> None:
    told = {
        "openai-node": json.loads((FOLDER / "openai-node/package.json").read_text())["dependencies"][
            "openai"
        ],
        "openai-go": _found(r"openai-go/v3 v(\S+)", "openai-go/go.mod"),
        "langchain": _found(r"langchain-openai==(\S+)", "langchain/requirements.txt"),
        "open-webui": _found(r"open-webui:v(\S+)", "open-webui/compose.yaml"),
        "grpcurl": _found(r"cmd/grpcurl@v(\S+)", "grpcurl/README.md"),
    }
    assert told == {name: next(iter(clients()[name].packages.values())) for name in told}
    locked = tomllib.loads((clients_page.ROOT / "uv.lock").read_text())["package"]
    (openai,) = [row["version"] for row in locked if row["name"] == "openai"]
    assert clients()["openai-python"].packages == {"openai": openai}


def _found(pattern: str, file: str) -> str:
    (version,) = re.findall(pattern, (FOLDER / file).read_text())
    return version


def test_the_page_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["clients_page.py", "--check"])
    assert clients_page.main() == 0


def test_a_stale_page_is_noticed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["clients_page.py", "--check"])
    monkeypatch.setattr(clients_page, "HEAD", "# Something else")
    assert clients_page.main() == 1
    assert "make clients-page" in capsys.readouterr().err
