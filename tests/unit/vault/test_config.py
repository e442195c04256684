"""Settings of the vault."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from support.vault import vault_settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_everywhere_needs_an_address_to_join_at(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValidationError, match="join_address must be set"):
        vault_settings(tmp_path, host=host)
    assert vault_settings(tmp_path, host=host, join_address="10.0.0.1:7431").join_address == "10.0.0.1:7431"


@pytest.mark.parametrize("ttl", [0, 86401])
def test_certificates_live_a_day_at_most(tmp_path: Path, ttl: float) -> None:
    with pytest.raises(ValidationError, match="certificate_ttl"):
        vault_settings(tmp_path, certificate_ttl=ttl)


def test_who_joins_is_told_the_advertised_addresses(tmp_path: Path) -> None:
    settings = vault_settings(tmp_path, registry="127.0.0.1:1", advertise_vault="10.0.0.1:7430")
    assert settings.control_plane == {
        "registry": "127.0.0.1:1",
        "router": "127.0.0.1:7420",
        "vault": "10.0.0.1:7430",
    }


def test_the_store_is_named_without_its_password(tmp_path: Path) -> None:
    settings = vault_settings(tmp_path, database_url="postgresql+psycopg://nexus:canary@db/vault")
    assert "canary" not in settings.store_name
