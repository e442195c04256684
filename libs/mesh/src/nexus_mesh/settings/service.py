"""Settings of every service: command line > environment > nexus.toml > default; all problems reported at once."""

from __future__ import annotations

import argparse
import os
import re
import socket
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from nexus_mesh.core import ConfigError, addresses, default_home
from nexus_mesh.identity import LABEL
from nexus_mesh.settings.problems import near, sentences
from nexus_mesh.settings.toml_places import TomlFile

__all__ = ["ServiceSettings", "default_node", "load", "read_toml", "service_config"]

COMMON_ENVIRONMENT = {"NEXUS_HOME": "home", "NEXUS_CONFIG": "config"}


def default_node() -> str:
    """This machine's name as a DNS label."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:63].strip("-")
    return name or "node"


def service_config(service: str) -> SettingsConfigDict:
    """Configuration of a settings class: environment prefix and table of nexus.toml."""
    return SettingsConfigDict(
        env_prefix=f"NEXUS_{service.upper()}_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_prog_name=f"nexus-{service}",
        cli_hide_none_type=True,
        cli_avoid_json=True,
        json_schema_extra={"service": service},
    )


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = service_config("service")

    config: Path | None = Field(
        default=None, description="The nexus.toml to read. Default: <home>/nexus.toml if there is one."
    )
    home: Path = Field(default_factory=default_home, description="Data directory.")
    node: str = Field(default_factory=default_node, description="This machine's name in the mesh.")
    name: str = Field(default="main", description="This process's name, unique for its role on the node.")
    zone: str = Field(default="default", description="Privacy zone.")
    trust_domain: str = Field(default="nexus.internal", description="The mesh's own name.")
    host: str = Field(default="127.0.0.1", description="Address the gRPC server listens on.")
    port: int = Field(default=0, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="Loopback port for /metrics; unset = none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    registry: str = Field(default="127.0.0.1:7410", description="host:port of the registry.")
    router: str = Field(default="127.0.0.1:7420", description="host:port of the router.")
    vault: str = Field(default="127.0.0.1:7430", description="host:port of the vault.")
    join_token_file: Path | None = Field(
        default=None, description="A file with the join token for a first start."
    )
    drain_settle: float = Field(
        default=0.3, ge=0, le=60, description="Seconds between leaving the registry and GOAWAY."
    )
    drain_grace: float = Field(
        default=30.0, ge=0, le=3600, description="Seconds running requests may take at shutdown."
    )
    otel_endpoint: str | None = Field(
        default=None, description="OTLP gRPC endpoint for traces; unset = no tracing."
    )

    @field_validator("node", "name", "zone")
    @classmethod
    def _is_label(cls, value: str) -> str:
        if not LABEL.fullmatch(value):
            raise ValueError("must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
        return value

    @field_validator("registry", "router", "vault")
    @classmethod
    def _is_address(cls, value: str) -> str:
        addresses.split(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlSource(settings_cls, init_settings, env_settings)


class _TomlSource(PydanticBaseSettingsSource):
    """The service's own table of nexus.toml, and the shared tables its fields name (json_schema_extra["toml"])."""

    def __init__(self, settings_cls: type[BaseSettings], *above: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._above = above

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - abstract there
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for source in reversed(self._above):
            given.update(source())
        path = _config_path(given)
        if path is None:
            return {}
        document = read_toml(path)
        values = dict(document.get(_service_of(self.settings_cls), {}))
        for name, field in self.settings_cls.model_fields.items():
            table = str(_notes(field.json_schema_extra).get("toml"))
            if table in document:
                values[name] = document[table]
        return values


S = TypeVar("S", bound=ServiceSettings)


def load(settings: type[S], arguments: Sequence[str] = ()) -> S:
    """Reads the settings. Raises ConfigError with every problem, values of secrets left out."""
    problems = _unknown_environment(settings)
    try:
        loaded = settings(_cli_parse_args=list(arguments), **_where(arguments))  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        file = _file(settings, arguments)
        problems += sentences(error, model=settings, place=file.place, after=file.line)
    else:
        if not problems:
            return loaded
    raise ConfigError(problems)


def _file(settings: type[BaseSettings], arguments: Sequence[str]) -> TomlFile:
    """Where the settings were read from, to tell where in it something stands."""
    shared = {
        name: str(notes["toml"])
        for name, about in settings.model_fields.items()
        if "toml" in (notes := _notes(about.json_schema_extra))
    }
    path = _config_path(_where(arguments))
    return TomlFile(path, {} if path is None else read_toml(path), _service_of(settings), shared)


def _where(arguments: Sequence[str]) -> dict[str, str]:
    """Home and config file, read ahead of the rest: they say where the rest is."""
    given = {field: os.environ[name] for name, field in COMMON_ENVIRONMENT.items() if os.environ.get(name)}
    ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for field in COMMON_ENVIRONMENT.values():
        ahead.add_argument(f"--{field}")
    known, _ = ahead.parse_known_args(arguments)
    return {**given, **{field: value for field, value in vars(known).items() if value}}


def _service_of(settings: type[BaseSettings]) -> str:
    return str(
        _notes(settings.model_config.get("json_schema_extra"))["service"]
    )  # service_config always sets it


def _notes(extra: object) -> Mapping[str, object]:
    """What we have noted about settings or a field of theirs."""
    return cast(Mapping[str, object], extra) if isinstance(extra, Mapping) else {}


def _config_path(given: Mapping[str, Any]) -> Path | None:
    if given.get("config"):
        return Path(given["config"])
    path = Path(given.get("home") or default_home()) / "nexus.toml"
    return path if path.exists() else None


def read_toml(path: Path) -> dict[str, Any]:
    """The document in a file, with or without the mark that some editors begin one with. Raises ConfigError."""
    try:
        raw = path.read_bytes()
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}; check --config"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path} is not valid TOML: line {line} is not UTF-8; save it as that"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not valid TOML: {error}"]) from None


def _unknown_environment(settings: type[ServiceSettings]) -> list[str]:
    prefix = f"NEXUS_{_service_of(settings).upper()}_"
    known = {prefix + name.upper() for name in settings.model_fields}
    return [
        f"{name} is not a setting" + (near(name, known) or f"; known: {', '.join(sorted(known))}")
        for name in sorted(os.environ)
        if name.startswith(prefix) and name.split("__")[0] not in known
    ]
