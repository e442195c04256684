"""Where settings come from, and what is said when they do not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.service import ServiceSettings, load, service_config
from pydantic import Field


class SampleSettings(ServiceSettings):
    model_config = service_config("sample")

    depth: int = Field(1, ge=0, description="A number.")
    routing: dict[str, Any] = Field(default_factory=dict, json_schema_extra={"toml": "routing"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    return tmp_path


def test_command_line_beats_environment_beats_file_beats_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(SampleSettings).depth == 1
    (home / "nexus.toml").write_text("[sample]\ndepth = 2\n")
    assert load(SampleSettings).depth == 2
    monkeypatch.setenv("NEXUS_SAMPLE_DEPTH", "3")
    assert load(SampleSettings).depth == 3
    assert load(SampleSettings, ["--depth", "4"]).depth == 4


def test_a_field_may_read_a_shared_table(home: Path) -> None:
    (home / "nexus.toml").write_text('[routing.aliases]\n"a" = "b"\n')
    assert load(SampleSettings).routing == {"aliases": {"a": "b"}}


def test_the_command_line_says_where_the_file_is(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (home / "nexus.toml").write_text("[sample]\ndepth = 2\n")
    (other / "nexus.toml").write_text("[sample]\ndepth = 5\n")
    assert load(SampleSettings, ["--home", str(other)]).depth == 5
    assert load(SampleSettings, ["--config", str(other / "nexus.toml")]).depth == 5


def test_every_problem_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "nexus.toml").write_text("[sample]\ndepth = -1\nwidth = 2\n")
    monkeypatch.setenv("NEXUS_SAMPLE_DEEP", "1")
    monkeypatch.setenv("NEXUS_SAMPLE_NODE", "Not A Label")
    with pytest.raises(ConfigError) as raised:
        load(SampleSettings)
    text = "\n".join(raised.value.problems)
    assert all(word in text for word in ("depth", "width", "NEXUS_SAMPLE_DEEP", "node"))


def test_a_broken_file_is_named(home: Path) -> None:
    (home / "nexus.toml").write_text("[sample\n")
    with pytest.raises(ConfigError, match=r"nexus\.toml is not valid TOML"):
        load(SampleSettings)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_as_any_editor_writes_it(home: Path, mark: bytes, ends: str) -> None:
    """E16: some begin a file with a mark and end its lines in their own way."""
    (home / "nexus.toml").write_bytes(mark + f"[sample]{ends}depth = 7{ends}".encode())
    assert load(SampleSettings).depth == 7


def test_another_encoding_is_told_with_its_line(home: Path) -> None:
    """E16: in our words."""
    (home / "nexus.toml").write_bytes(b"[sample]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"line 2 is not UTF-8; save it as that$"):
        load(SampleSettings)


def test_settings_cannot_be_changed() -> None:
    settings = load(SampleSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.depth = 5  # type: ignore[misc]
