"""A command, a flag or a choice that is none is answered with the nearest right one. Settings: test_typos.py."""

from __future__ import annotations

import pytest
from nexus_cli.grammar import MEANT
from nexus_cli.main import app
from typer.main import get_command
from typer.testing import CliRunner

COMMANDS = {
    "statsu": "status", "stauts": "status", "statuss": "status", "Status": "status", "modles": "models",
    "model": "models", "chta": "chat", "cht": "chat", "dcotor": "doctor", "docter": "doctor", "explian": "explain",
    "unlaod": "unload", "laod": "load", "pul": "pull", "stpo": "stop", "restrat": "restart", "jion": "join",
    "lgos": "logs", "tpo": "top", "tenant": "tenants", "tokens": "token", "polcy": "policy", "policies": "policy",
    "identity": "identities", "confg": "config", "complete": "completion", "verison": "version", "hlep": "help",
    "start": "up", "serve": "up", "down": "stop", "delete": "rm", "download": "pull", "ask": "chat", "watch": "top",
    "why": "explain", "health": "doctor", "settings": "config", "apikey": "keys",
}  # fmt: skip
BELOW = {
    "keys craete": "create", "keys lst": "list", "keys revok": "revoke", "tenants updat": "update",
    "token creat": "create", "policy rolback": "rollback", "policy histroy": "history", "config chek": "check",
    "config shwo": "show", "config shema": "schema", "identities dney": "deny",
}  # fmt: skip
FLAGS = {
    "up --prot": "--port", "up --listne": "--listen", "up --detatch": "--detach", "up --log-levl": "--log-level",
    "up --no-discvery": "--no-discovery", "up --modle": "--model", "join --token-fil": "--token-file",
    "status --jsn": "--json", "status --wacth": "--watch", "chat --sytem": "--system", "chat --key": "--key-file",
    "logs --folow": "--follow", "logs --line": "--lines", "explain m --ned": "--need", "load m --bakend": "--backend",
    "keys create n --tennant": "--tenant", "keys create n --mange": "--manage", "keys create n --day": "--days",
    "token create --nod": "--node", "token create --minute": "--minutes", "config init --froce": "--force",
    "--verson": "--version", "--hlep": "--help",
}  # fmt: skip
VALUES = {"up --log-level inof": "info", "completion bsh": "bash", "logs --level warn": "warning"}


@pytest.mark.parametrize(
    ("line", "meant"), [*COMMANDS.items(), *BELOW.items(), *FLAGS.items(), *VALUES.items()]
)
def test_a_typo_is_answered_with_what_was_meant(line: str, meant: str) -> None:
    ran = CliRunner().invoke(app, line.split(), prog_name="nexus")
    assert ran.exit_code == 2
    assert f"Did you mean {meant!r}?" in ran.output


def test_what_is_near_nothing_gets_no_guess() -> None:
    for line in ("qqqqqq", "up --qqqqqq"):
        assert "Did you mean" not in CliRunner().invoke(app, line.split(), prog_name="nexus").output


def test_words_of_other_tools_lead_to_commands_there_are() -> None:
    known = set(getattr(get_command(app), "commands"))  # noqa: B009 - click's type of it is not public
    assert set(MEANT.values()) <= known
    assert not set(MEANT) & known
