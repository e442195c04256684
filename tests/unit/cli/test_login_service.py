"""The file by which a system starts the mesh at login says what the system's own reader then reads."""

from __future__ import annotations

import configparser
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nexus_cli.layout import Layout
from nexus_cli.login_service import install, launchd, systemd
from nexus_cli.output import Failure

ODD = '/home/a "b"/100%/$HOME/ü\\n'
COMMAND = ["/opt/py thon", "-m", "nexus_cli", "up", "--home", '/home/a "b"/100%/$HOME']
ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of somebody who has nothing yet."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def verified(unit: Path, folder: Path) -> tuple[int, str]:
    """What systemd says of a user unit."""
    assert ANALYZE is not None
    command = [ANALYZE, "verify", "--user", "--man=no", "--recursive-errors=no", str(unit)]
    given = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "LC_ALL": "C"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=given)
    return ran.returncode, ran.stdout + ran.stderr


def test_a_unit_has_the_command_with_nothing_in_it_that_systemd_would_expand() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(systemd(COMMAND))
    line = unit["Service"]["ExecStart"]
    assert line == '"/opt/py thon" "-m" "nexus_cli" "up" "--home" "/home/a \\"b\\"/100%%/$$HOME"'
    assert unit["Install"]["WantedBy"] == "default.target"


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not here")
@pytest.mark.parametrize("home", ["/home/somebody", ODD])
def test_systemd_itself_has_no_word_against_the_unit(user: Path, home: str) -> None:
    unit = user / ".config" / "systemd" / "user" / "nexus.service"
    install(Layout(Path(home)), force=False, as_json=True)
    assert verified(unit, user) == (0, "")
    unit.write_text(unit.read_text().replace("RestartSec=5", "RestartSec=often"))
    code, said = verified(unit, user)
    assert code != 0 or "RestartSec" in said or "often" in said, "it would have said what is wrong"


def test_a_property_list_has_the_command() -> None:
    told = plistlib.loads(launchd(COMMAND, Path("/l/up.log")))
    assert told["ProgramArguments"] == COMMAND
    assert told["StandardErrorPath"] == "/l/up.log"


def test_on_a_mac_it_is_an_agent_of_the_user(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    install(Layout(Path(ODD)), force=False, as_json=False)
    (file,) = (user / "Library" / "LaunchAgents").iterdir()
    told = plistlib.loads(file.read_bytes())
    assert told["Label"] == file.stem
    assert told["ProgramArguments"] == [sys.executable, "-m", "nexus_cli", "up", "--home", ODD]
    assert told["KeepAlive"] == {"SuccessfulExit": False}
    assert "launchctl bootstrap gui/" in capsys.readouterr().out


def test_a_file_that_is_there_is_kept(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(Layout(user / "home"), force=False, as_json=True)
    assert "next" in capsys.readouterr().out
    with pytest.raises(Failure, match="there already"):
        install(Layout(user / "home"), force=False, as_json=True)
    install(Layout(user / "home"), force=True, as_json=True)
