"""Routing settings that do not hold are refused, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.service import load
from nexus_router.config import RouterSettings


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nexus.toml that will be read."""
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    return tmp_path / "nexus.toml"


def test_aliases(toml: Path) -> None:
    toml.write_text('[router]\nport = 1\n[routing.aliases]\n"gpt-4o" = "llama3.1:70b"\n')
    settings = load(RouterSettings)
    assert settings.routing.aliases == {"gpt-4o": "llama3.1:70b"}
    assert settings.port == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[routing.aliases]\na = "b"\nb = "c"\nc = "a"\n', "circle: a -> b -> c -> a"),
        ('[routing.aliases]\na = "b"\nb = "b"\n', "circle"),
        ('[routing.aliases]\na = ""\n', "empty"),
        ("[routing.aliases]\na = 1\n", "routing.aliases.a"),
        ('[routing.alias]\na = "b"\n', "routing.alias"),
        ('[[routing.rules]]\nname = "r"\nzone = "No Zone"\n', "routing.rules.r.zone"),
        ("[routing.hedge]\nm = 0\n", "routing.hedge.m"),
        ('[routing.hedge]\nm = "soon"\n', "routing.hedge.m"),
        ("[[routing.prices]]\ninput = nan\n", "routing.prices.0.input: must be a finite number"),
        ("[[routing.prices]]\noutput = inf\n", "routing.prices.0.output: must be a finite number"),
        ("[[routing.prices]]\noutput = -1\n", "routing.prices.0.output: must be at least 0"),
        ('[routing.crossing]\nrestricted = "allow"\n', "routing.crossing.restricted"),
    ],
)
def test_what_is_refused(toml: Path, content: str, said: str) -> None:
    toml.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(RouterSettings)
    assert said in str(caught.value)
