"""The file by which a system starts the mesh at login says what the system's own reader then reads."""

from __future__ import annotations

import configparser
import plistlib
from pathlib import Path

import pytest
from nexus_cli.layout import Layout
from nexus_cli.login_service import install, launchd, systemd
from nexus_cli.output import Failure

COMMAND = ["/opt/py thon", "-m", "nexus_cli", "up", "--home", '/home/a "b"/100%/$HOME']


def test_a_unit_has_the_command_with_nothing_in_it_that_systemd_would_expand() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(systemd(COMMAND))
    line = unit["Service"]["ExecStart"]
    assert line == '"/opt/py thon" "-m" "nexus_cli" "up" "--home" "/home/a \\"b\\"/100%%/$$HOME"'
    assert unit["Install"]["WantedBy"] == "default.target"


def test_a_property_list_has_the_command() -> None:
    told = plistlib.loads(launchd(COMMAND, Path("/l/up.log")))
    assert told["ProgramArguments"] == COMMAND
    assert told["StandardErrorPath"] == "/l/up.log"


def test_a_file_that_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    install(Layout(tmp_path / "home"), force=False, as_json=True)
    assert "next" in capsys.readouterr().out
    with pytest.raises(Failure, match="there already"):
        install(Layout(tmp_path / "home"), force=False, as_json=True)
    install(Layout(tmp_path / "home"), force=True, as_json=True)
