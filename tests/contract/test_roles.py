"""The table of roles says what each service's own settings say."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import pytest
from nexus_mesh.identity import ROLE_TABLE
from nexus_mesh.settings import ServiceSettings

SERVICES = [name for name, role in ROLE_TABLE.items() if role.module]


def settings_of(name: str) -> type[ServiceSettings]:
    role = ROLE_TABLE[name]
    found = getattr(importlib.import_module(f"{role.module}.config"), role.settings)
    assert issubclass(found, ServiceSettings)
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_reads_the_tables_it_is_said_to(name: str) -> None:
    shared = {
        str(field.json_schema_extra["toml"])
        for field in settings_of(name).model_fields.values()
        if isinstance(field.json_schema_extra, Mapping) and "toml" in field.json_schema_extra
    }
    assert shared == set(ROLE_TABLE[name].tables)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_where_it_is_said_to(name: str) -> None:
    fields = settings_of(name).model_fields
    for port, usual in ROLE_TABLE[name].ports.items():
        field = fields["port" if port == name else f"{port}_port"]
        assert field.default in (usual, 0), port


def test_no_port_is_used_twice() -> None:
    ports = [port for role in ROLE_TABLE.values() for port in role.ports.values()]
    assert len(set(ports)) == len(ports)
