"""The gateway's settings: who may come in, and how long things may take."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus_gateway.config import GatewaySettings
from nexus_gateway.core.limits import limits_by_model
from nexus_gateway.intake.intake import MIB, body_bytes, memory_limit
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.service import load


def settings(home: Path, *arguments: str) -> GatewaySettings:
    return load(GatewaySettings, ["--home", str(home), *arguments])


@pytest.mark.parametrize(
    ("auth", "host", "needs_key"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "::1", False),
        ("auto", "localhost", False),
        ("auto", "127.1.2.3", False),
        ("auto", "0.0.0.0", True),
        ("auto", "::", True),
        ("auto", "192.168.1.5", True),
        ("auto", "box.local", True),
        ("keys", "127.0.0.1", True),
        ("open", "127.0.0.1", False),
    ],
)
def test_who_needs_a_key(tmp_path: Path, auth: str, host: str, needs_key: bool) -> None:
    assert settings(tmp_path, "--auth", auth, "--http-host", host).needs_key is needs_key


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"])
def test_refuses_to_start_exposed_and_open(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, "--auth", "open", "--http-host", host)
    assert 'set auth = "keys"' in str(caught.value)


def test_times_come_from_the_shared_tables(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text(
        "[gateway]\nhttp_port = 9000\n[timeouts]\nstall = 7\n"
        '[models."llama:70b".timeouts]\nfirst_token = 300\n[models.other]\nmemory_gb = 1\n'
    )
    loaded = settings(tmp_path)
    assert (loaded.http_port, loaded.port, loaded.timeouts.stall, loaded.timeouts.connect) == (
        9000,
        7400,
        7,
        2,
    )
    own = limits_by_model(loaded.timeouts, loaded.models)
    assert (own["llama:70b"].first_token, own["llama:70b"].stall, own["other"].first_token) == (300, 7, 120)


@pytest.mark.parametrize(
    "text",
    [
        "[timeouts]\nstal = 3\n",
        "[timeouts]\nstall = 0\n",
        "[models.m]\nmemry_gb = 4\n",
        '[models.m.timeouts]\nx = "1"\n',
    ],
)
def test_wrong_times_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "nexus.toml").write_text(text)
    with pytest.raises(ConfigError):
        settings(tmp_path)


@pytest.mark.security
@pytest.mark.parametrize(
    "origin", ["*", "http://*", "https://*", "null", "localhost", "http://a/b", "http://*.example", ""]
)
def test_a_list_of_pages_cannot_mean_everybody(tmp_path: Path, origin: str) -> None:
    """A15."""
    (tmp_path / "nexus.toml").write_text(f"[gateway]\norigins = ['{origin}']")
    with pytest.raises(ConfigError, match="is not an origin"):
        settings(tmp_path)


@pytest.mark.parametrize("host", ["*", "http://box", "box:80", "", "*.", "a b"])
def test_hosts_are_names(tmp_path: Path, host: str) -> None:
    """D9."""
    (tmp_path / "nexus.toml").write_text(f"[gateway]\nhosts = ['{host}']")
    with pytest.raises(ConfigError, match="is not a host name"):
        settings(tmp_path)


def test_pages_and_names_that_may_be_set(tmp_path: Path) -> None:
    """A15, D9: no list of pages and an empty one differ."""
    assert settings(tmp_path).origins is None
    (tmp_path / "nexus.toml").write_text(
        "[gateway]\norigins = ['chrome-extension://*', 'http://[::1]:*']\nhosts = ['box', '*.home.arpa']"
    )
    assert settings(tmp_path).origins == ("chrome-extension://*", "http://[::1]:*")
    assert settings(tmp_path).hosts == ("box", "*.home.arpa")
    (tmp_path / "nexus.toml").write_text("[gateway]\norigins = []")
    assert settings(tmp_path).origins == ()


@pytest.mark.parametrize(
    ("memory", "bodies"), [(256, 64), (512, 128), (1024, 256), (4096, 1024), (65_536, 1024)]
)
def test_bodies_take_a_quarter_of_the_memory_there_is(memory: int, bodies: int) -> None:
    """A5."""
    assert body_bytes(memory * MIB) == bodies * MIB


def test_a_container_says_how_much_memory_there_is(tmp_path: Path) -> None:
    """A5."""
    (tmp_path / "v1").write_text("536870912\n")
    (tmp_path / "v2").write_text("max\n")
    machine = memory_limit(())
    assert memory_limit((tmp_path / "v2", tmp_path / "nowhere")) == machine
    assert memory_limit((tmp_path / "v2", tmp_path / "v1")) == 512 * MIB
