"""`nexus service install`: a file by which the system starts the mesh at login; a systemd user unit, or launchd's."""

from __future__ import annotations

import os
import plistlib
import sys
from pathlib import Path

from nexus_cli.layout import Layout
from nexus_cli.output import Failure, console, print_json

__all__ = ["install", "launchd", "systemd"]

LABEL = "internal.nexus.mesh"
STOP_SECONDS = 120
"""Running requests may be finished, one service after the other."""


def install(layout: Layout, *, force: bool, as_json: bool) -> None:
    """Writes the file, and tells what puts it in force; nothing is started. Raises Failure when it is there."""
    mac = sys.platform == "darwin"
    file = _agents() / f"{LABEL}.plist" if mac else _units() / "nexus.service"
    if file.exists() and not force:
        raise Failure(f"{file} is there already.", "Look at it, or give --force to write over it.")
    command = [sys.executable, "-m", "nexus_cli", "up", "--home", str(layout.home)]
    text = launchd(command, layout.log("up")) if mac else systemd(command).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)
    then = f"launchctl bootstrap gui/{os.getuid()} {file}" if mac else "systemctl --user enable --now nexus"
    if as_json:
        print_json({"file": str(file), "next": then})
        return
    console.print(f"{file} is written. Start it now and at every login:\n\n  {then}\n")
    if not mac:
        console.print("To have it run while you are not logged in, too: loginctl enable-linger")


def systemd(command: list[str]) -> str:
    """A user unit."""
    return f"""\
[Unit]
Description=NEXUS, one endpoint in front of the machines you own

[Service]
ExecStart={" ".join(map(_quoted, command))}
Restart=on-failure
RestartSec=5
TimeoutStopSec={STOP_SECONDS}

[Install]
WantedBy=default.target
"""


def launchd(command: list[str], log: Path) -> bytes:
    """A property list of an agent."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": command,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ExitTimeOut": STOP_SECONDS,
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )


def _quoted(word: str) -> str:
    """As systemd reads a command line: % and $ have a meaning there, in quotes too."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'


def _units() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _agents() -> Path:
    return Path.home() / "Library" / "LaunchAgents"
