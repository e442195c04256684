"""Settings of the adapter process: which backends it serves and how long it waits for them."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from nexus_mesh.rows import BACKENDS, DEVICES
from nexus_mesh.settings import ServiceSettings, Timeouts, service_config, shared
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from nexus_inference_adapters.backend_config import BackendConfig, ModelName, known

if TYPE_CHECKING:
    from nexus_inference_adapters.contract import Adapter

__all__ = [
    "BUILTIN",
    "GIB",
    "MODEL_FILE",
    "TOY",
    "AdapterSettings",
    "DeviceConfig",
    "ModelSettings",
    "StaticBackend",
]

DEFAULT_ZONE = "default"
GIB = 2**30
"""Bytes of what the settings call a gigabyte, as makers of cards do."""

MODEL_FILE = "embedded"
"""The name of the backend that serves the file given with --model, or else the models in the box."""

BUILTIN, TOY = "smollm2:135m", "nexus-demo"


def _adapters() -> Mapping[str, type[Adapter]]:
    from nexus_inference_adapters.kinds import (
        ADAPTERS,
    )  # a third of a second, which only who lists backends pays

    return ADAPTERS


def _kind(value: str) -> str:
    return known("adapter", value, _adapters())


def _builtin(value: str) -> str:
    from nexus_inference_adapters.store import catalogue  # an HTTP client, which only who sets this pays

    return known("model in the box", value, (TOY, *catalogue()))


class StaticBackend(BackendConfig):
    """A row of [[backends]]: of a kind there is, with what that kind needs."""

    kind: Annotated[str, AfterValidator(_kind)] = Field(description="The adapter that speaks to it.")

    @model_validator(mode="after")
    def _is_reachable(self) -> Self:
        needs = _adapters()[self.kind].needs
        if needs == "url" and self.url is None:
            raise ValueError(f'backend {self.name!r} needs a url, for example "http://127.0.0.1:8000"')
        schemes = _adapters()[self.kind].schemes
        if self.url is not None and urlsplit(self.url).scheme not in schemes:
            raise ValueError(f"backend {self.name!r} is {self.kind}: its url begins with {schemes[0]}://")
        if needs == "path" and self.url is not None:
            raise ValueError(f"backend {self.name!r} is {self.kind}: it has a path, not a url")
        if needs == "url" and (self.path is not None or self.model_name is not None):
            raise ValueError(f"backend {self.name!r} is {self.kind}: it has a url, not a path or model_name")
        return self


def _tokenizer_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if importlib.util.find_spec("tokenizers") is None:
        raise ValueError(
            "to count with a tokenizer file the Python package `tokenizers` must be installed beside NEXUS; "
            "install it, or remove the setting and have prompts estimated"
        )
    return path


class ModelSettings(shared.ModelSettings):
    """[models."<name>"], where the tokenizer is to be opened."""

    tokenizer: Annotated[Path, AfterValidator(_tokenizer_file)] | None = None


class DeviceConfig(BaseModel):
    """[[devices]]: a card, or a machine's memory, that models share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description='Unique. Example: "gpu0".')
    memory_gb: PositiveFloat = Field(description="All it has.")
    headroom_gb: float = Field(default=1.0, ge=0, description="What models leave free.")
    backends: tuple[str, ...] = Field(
        default=(),
        description="Whose models are in it. Empty = every engine of this machine no other one names.",
    )

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.headroom_gb >= self.memory_gb:
            raise ValueError(
                f"device {self.name!r} leaves models nothing: headroom_gb must be below memory_gb"
            )
        return self


class AdapterSettings(ServiceSettings):
    """What an adapter process can be told."""

    model_config = service_config("adapter")

    backends: tuple[StaticBackend, ...] = Field(
        (), description="Static backends.", json_schema_extra={"toml": "backends"}
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, json_schema_extra={"toml": "timeouts"})
    models: dict[str, ModelSettings] = Field(default_factory=dict, json_schema_extra={"toml": "models"})
    model: Path | None = Field(None, description="A GGUF file to serve.")
    model_name: ModelName | None = Field(
        None, description="What to call that file's model. Unset = the file's name without its ending."
    )
    demo: bool = Field(
        False,
        description="Serve what was pulled, and while no backend is configured or found a model that comes with NEXUS.",
    )
    builtin: Annotated[str, AfterValidator(_builtin)] = Field(
        BUILTIN,
        description=f"Which one that is: a model of the catalogue, where its package is installed, else {TOY!r}, the "
        "small one that knows a dozen sentences and is there always.",
    )
    speech: bool = Field(False, description="Serve the voice that comes with NEXUS: eSpeak NG.")
    painter: bool = Field(
        False, description="Serve the painter that comes with NEXUS, which knows two dozen things."
    )
    named_zone_only: bool = Field(False, description="Leave out backends that name no zone.")
    discovery: bool = Field(False, description="Look for engines on this machine, again every 15 seconds.")
    mdns: Literal["off", "browse", "adopt"] = Field(
        "browse",
        description='What discovery does with announcements on the local network: "browse" = serves engines of this '
        'machine, logs those of others; "adopt" = serves those too, in the zone `open`; "off" = does not listen.',
    )
    discover_users: tuple[str, ...] = Field(
        ("ollama",),
        description='Users, beside us and root, whose engines on this machine discovery may serve; "*" = everybody\'s. '
        "Ollama's installer makes the user it runs as.",
    )
    skip_ports: tuple[int, ...] = Field((), description="Ports of this machine discovery leaves alone.")
    devices: tuple[DeviceConfig, ...] = Field(
        (), description="Memory that models share.", json_schema_extra={"toml": "devices"}
    )
    min_residency: float = Field(
        60.0, ge=0, description="Seconds a model stays in managed memory before another may take its place."
    )
    idle_unload: float = Field(
        900.0,
        ge=0,
        description="Seconds without a request after which a model leaves managed memory; 0 = never.",
    )
    prewarm: tuple[str, ...] = Field(
        (), description="Models to keep in managed memory as long as nobody else needs it."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [backend.name for backend in self.backends]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"backend names must be unique; used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _registry_takes_them_all(self) -> Self:
        """Said at the start and by name: what one process leaves out of its entry later, only its entry tells."""
        placed = Counter(backend.zone or DEFAULT_ZONE for backend in self.backends)
        for zone, count in sorted(placed.items()):
            if count > BACKENDS:
                of_zone = [one.name for one in self.backends if (one.zone or DEFAULT_ZONE) == zone]
                raise ValueError(
                    f"{count} [[backends]] are in zone {zone!r}, and one machine serves at most {BACKENDS} of a zone: "
                    f"from {of_zone[BACKENDS]!r} on, serve them from another machine or remove them"
                )
        if len(self.devices) > DEVICES:
            raise ValueError(
                f"{len(self.devices)} [[devices]] are listed, and one machine has at most {DEVICES}: "
                f"remove some, from {self.devices[DEVICES].name!r} on"
            )
        return self

    @model_validator(mode="after")
    def _devices_are_of_one_process(self) -> Self:
        names = [device.name for device in self.devices]
        named = [backend for device in self.devices for backend in device.backends]
        for what, given in (("device name", names), ("backend in [[devices]]", named)):
            if twice := sorted({name for name in given if given.count(name) > 1}):
                raise ValueError(f"every {what} must be unique; used twice: {', '.join(twice)}")
        if sum(not device.backends for device in self.devices) > 1:
            raise ValueError("only one of [[devices]] may leave out its backends")
        for device in self.devices:
            if len(zones := self._zones_of(device)) > 1:
                raise ValueError(
                    f"device {device.name!r} has backends of the zones {', '.join(sorted(zones))}, and each zone is "
                    "served by a process of its own: give each a device with its backends and its part of the memory"
                )
        return self

    def _zones_of(self, device: DeviceConfig) -> set[str]:
        """What is found on this machine, and what names no zone, is in the default one."""
        zones = {backend.name: backend.zone or DEFAULT_ZONE for backend in self.backends}
        if device.backends:
            return {zones.get(name, DEFAULT_ZONE) for name in device.backends}
        taken = {name for other in self.devices for name in other.backends}
        return {DEFAULT_ZONE, *(zone for name, zone in zones.items() if name not in taken)}

    @property
    def has_several_zones(self) -> bool:
        return any((backend.zone or DEFAULT_ZONE) != DEFAULT_ZONE for backend in self.backends)

    def memory_of(self, model: str) -> int:
        """Bytes of memory a model takes by the operator's word; 0 = not told."""
        own = self.models.get(model)
        return round(own.memory_gb * GIB) if own is not None and own.memory_gb else 0

    def timeouts_of(self, model: str) -> Timeouts:
        """The limits for a model: its own where set, else the general ones."""
        own = self.models.get(model)
        return self.timeouts if own is None else self.timeouts.but(own.timeouts)
