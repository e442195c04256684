"""Looks at the settings of every service before any of them is started."""

from __future__ import annotations

import importlib

from nexus_mesh.core import ConfigError
from nexus_mesh.identity import ROLE_TABLE
from nexus_mesh.settings import ServiceSettings, load
from pydantic_settings import EnvSettingsSource

from nexus_cli.plan import Plan, misnamed_tables, misshapen_tables, own_variables
from nexus_cli.unit import UnitSpec

__all__ = ["check_settings", "read_settings"]


def check_settings(plan: Plan) -> None:
    """Reads the settings as each process will. Raises ConfigError with every problem of every service, each once."""
    config = plan.options.config_path
    problems = misnamed_tables(config)
    if misshapen := misshapen_tables(config):
        raise ConfigError([*problems, *misshapen])
    units: dict[str, list[str]] = {}
    for spec in plan.services():
        for problem in _problems(spec):
            units.setdefault(problem, []).append(spec.name)
    problems += [f"{', '.join(names)}: {problem}" for problem, names in units.items()]
    if problems:
        raise ConfigError(problems)


def read_settings(spec: UnitSpec) -> ServiceSettings:
    """As the process will. Raises ConfigError."""
    _, _, _, *arguments = spec.command  # python -m module
    return load(_settings_of(spec.name.partition("-")[0]), arguments)


def _problems(spec: UnitSpec) -> list[str]:
    role = spec.name.partition("-")[0]
    try:
        read_settings(spec)
    except ConfigError as error:
        return error.problems
    except ValueError:  # pydantic's word for it when a setting is a list or a table
        given = " or ".join(_holding_json(role)) or "a list or a table given as a flag"
        return [f"{given} must hold JSON, and does not"]
    return []


def _holding_json(role: str) -> list[str]:
    """Those of its variables that stand for a list or a table."""
    settings = _settings_of(role)
    source, known = EnvSettingsSource(settings), settings.model_fields
    prefix = f"NEXUS_{role.upper()}_"
    fields = {name: known.get(name.removeprefix(prefix).lower()) for name, _ in own_variables(role)}
    return [name for name, field in fields.items() if field is not None and source.field_is_complex(field)]


def _settings_of(role: str) -> type[ServiceSettings]:
    """The class of its settings; only here does the command line know a service's code."""
    known = ROLE_TABLE[role]
    found: type[ServiceSettings] = getattr(importlib.import_module(f"{known.module}.config"), known.settings)
    return found
