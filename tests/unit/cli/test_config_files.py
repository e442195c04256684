"""`nexus config`: the file it begins holds, says every setting there is, and shows no secret."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from nexus_cli.config_files import check, init, show
from nexus_cli.layout import Layout
from nexus_cli.main import app
from nexus_cli.output import Failure
from nexus_mesh.core import ConfigError
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "home")
    init(layout, force=False, as_json=True)
    return layout


def test_the_file_it_begins_holds(layout: Layout) -> None:
    assert tomllib.loads((layout.home / "nexus.toml").read_text()) == {}
    check(layout, None, as_json=True)


def test_every_setting_of_the_reference_is_in_it(layout: Layout) -> None:
    reference = (ROOT / "docs" / "settings.md").read_text().partition("## Settings of every service")[0]
    text = (layout.home / "nexus.toml").read_text()
    for table in re.findall(r"^## `(.+)`$", reference, re.MULTILINE):
        assert f"# {table}\n" in text
    for name in re.findall(r"^\| `(\w+)` \|", reference, re.MULTILINE):
        assert f"\n# {name} =" in text


def test_what_is_uncommented_counts(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    file = layout.home / "nexus.toml"
    text = file.read_text()
    assert "# [timeouts]\n" in text
    text = text.replace("# [timeouts]\n", "[timeouts]\n").replace("# stall = 30.0\n", "stall = 31.0\n", 1)
    file.write_text(text)
    capsys.readouterr()
    show(layout, None, as_json=True)
    assert json.loads(capsys.readouterr().out)["gateway"]["timeouts"]["stall"] == 31.0


def test_what_is_shown_is_toml_without_what_up_chooses(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    show(layout, None, as_json=False)
    told = tomllib.loads(capsys.readouterr().out)
    assert "queue" in told["gateway"]
    assert not {"registry", "port", "home"} & set(told["gateway"])


def test_a_file_that_is_there_is_kept(layout: Layout) -> None:
    (layout.home / "nexus.toml").write_text("# mine\n")
    with pytest.raises(Failure, match="there already"):
        init(layout, force=False, as_json=True)
    assert (layout.home / "nexus.toml").read_text() == "# mine\n"


def test_what_does_not_hold_is_told(layout: Layout, tmp_path: Path) -> None:
    (layout.home / "nexus.toml").write_text("[queue]\nwiat = 3\n")
    with pytest.raises(ConfigError):
        check(layout, None, as_json=True)
    with pytest.raises(ConfigError):
        check(layout, tmp_path / "none.toml", as_json=True)


def test_reference_and_schema_are_the_documents() -> None:
    printed = CliRunner().invoke(app, ["config", "reference"]).output
    assert printed == (ROOT / "docs" / "settings.md").read_text()
    schema = json.loads(CliRunner().invoke(app, ["config", "schema"]).output)
    assert schema == json.loads((ROOT / "docs" / "nexus.schema.json").read_text())
