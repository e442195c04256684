"""Settings: what is accepted, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus_inference_adapters.children import child_environment
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.contract.adapter import Adapter
from nexus_inference_adapters.contract.http import key_in
from nexus_inference_adapters.kinds import KINDS
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.rows.limits import BACKENDS, DEVICES, MODEL_ID, PRIORITY, TIER
from nexus_mesh.settings.service import load

GOOD = """
[[backends]]
name = "box"
kind = "openai_compatible"
url = "http://127.0.0.1:8000/v1/"
zone = "restricted"
priority = 10
tier = "fast"
models = ["m"]
max_concurrency = 8
api_key_env = "BOX_KEY"

[timeouts]
stall = 5

[models."slow".timeouts]
first_token = 600
"""


def loaded(tmp_path: Path, text: str) -> AdapterSettings:
    path = tmp_path / "nexus.toml"
    path.write_text(text)
    return load(AdapterSettings, ["--config", str(path), "--home", str(tmp_path)])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_settings_know_every_kind_and_what_it_needs(tmp_path: Path, kind: type[Adapter]) -> None:
    row = f'[[backends]]\nname = "b"\nkind = "{kind.kind}"\n'
    url, path = f'url = "{kind.schemes[0]}://127.0.0.1:1"\n', 'path = "/models/m.gguf"\n'
    given, wrong = (url, path) if kind.needs == "url" else (path, url)
    assert loaded(tmp_path, row + given).backends[0].kind == kind.kind
    with pytest.raises(ConfigError, match=f"is {kind.kind}: it has a {kind.needs}"):
        loaded(tmp_path, row + given + wrong)


def test_a_backend_as_the_design_writes_it(tmp_path: Path) -> None:
    [backend] = loaded(tmp_path, GOOD).backends
    assert backend.url == "http://127.0.0.1:8000"
    assert (backend.zone, backend.priority, backend.tier, backend.models) == (
        "restricted",
        10,
        "fast",
        ("m",),
    )


def backends(count: int, more: str = "") -> str:
    return "".join(
        f'[[backends]]\nname = "b{number}"\nkind = "ollama"\nurl = "http://127.0.0.1:1"\n{more}\n'
        for number in range(1, count + 1)
    )


def test_two_hundred_and_one_backends_are_served(tmp_path: Path) -> None:
    """E25"""
    assert len(loaded(tmp_path, backends(201)).backends) == 201


def test_more_backends_than_the_registry_takes_are_refused_by_name(tmp_path: Path) -> None:
    """E25: at the start, with the first that is too many; another zone has room of its own."""
    assert loaded(tmp_path, backends(BACKENDS) + backends(1, 'zone = "z"').replace("b1", "c1")).backends
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, backends(BACKENDS + 1))
    assert f"from 'b{BACKENDS + 1}' on" in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        f"priority = {PRIORITY + 1}",
        f'tier = "{"x" * (TIER + 1)}"',
        'tier = "a\\u0007"',
        'models = ["a\\nb"]',
        f'models = ["{"x" * (MODEL_ID + 1)}"]',
        "max_concurrency = 4294967296",
        "context_tokens = 4294967296",
    ],
)
def test_what_the_registry_would_leave_out_is_refused_at_once(tmp_path: Path, line: str) -> None:
    """E25: a limit of the registry is one of the settings too."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, backends(1, line))
    assert line.split(" ", 1)[0] in str(caught.value)


def test_more_devices_than_the_registry_takes_are_refused_by_name(tmp_path: Path) -> None:
    """E25"""
    listed = "".join(
        f'[[devices]]\nname = "d{number}"\nmemory_gb = 8\nbackends = ["x{number}"]\n'
        for number in range(DEVICES + 1)
    )
    with pytest.raises(ConfigError, match=f"d{DEVICES}"):
        loaded(tmp_path, listed)


def test_the_key_comes_from_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [backend] = loaded(tmp_path, GOOD).backends
    assert key_in(backend.api_key_env) is None
    monkeypatch.setenv("BOX_KEY", "sk-1")
    assert key_in(backend.api_key_env) == "sk-1"
    assert "sk-1" not in repr(backend)
    assert "BOX_KEY" not in child_environment()


def test_threads_of_an_engine_wait_in_their_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert child_environment()["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert child_environment()["OMP_WAIT_POLICY"] == "active"


@pytest.mark.parametrize("name", ["smollm2:135n", "nexus-dmo"])
def test_a_model_in_the_box_that_there_is_not_is_refused_with_the_nearest(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        loaded(tmp_path, f'[adapter]\nbuiltin = "{name}"\n')


def test_timeouts_of_a_model_overrule_the_general_ones(tmp_path: Path) -> None:
    settings = loaded(tmp_path, GOOD)
    assert settings.timeouts_of("slow").first_token == 600
    assert settings.timeouts_of("slow").stall == 5
    assert settings.timeouts_of("other").first_token == 120


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        ('kind = "olama"\nurl = "http://x"', "did you mean 'ollama'?"),
        ('kind = "ollama"', "needs a url"),
        ('kind = "ollama"\nurl = "127.0.0.1:11434"', "must look like"),
        ('kind = "ollama"\nurl = "http://u:p@x"', "api_key_env"),
        ('kind = "embedded"\nurl = "http://x"', "has a path, not a url"),
        ('kind = "ollama"\nurl = "http://x"\ncapabilities = ["magic"]', "known: tools"),
        ('kind = "ollama"\nurl = "http://x"\nmax_concurrency = 0', "max_concurrency: must be at least 1"),
        ('kind = "ollama"\nurl = "http://x"\nprio = 1', "prio: is not a known setting"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, backend: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f'[[backends]]\nname = "b"\n{backend}\n')
    assert told in str(caught.value)


def test_names_must_differ(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="used twice: box"):
        loaded(tmp_path, GOOD + '[[backends]]\nname = "box"\nkind = "embedded"\n')
