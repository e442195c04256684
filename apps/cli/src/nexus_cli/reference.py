"""What the settings say of themselves: the reference, the JSON Schema, and a file to begin with."""

from __future__ import annotations

import importlib
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w
from nexus_mesh.identity import ROLE_TABLE
from nexus_mesh.settings import ServiceSettings
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

__all__ = ["SERVICES", "beginning", "page", "schema"]

HEAD = """\
# Settings

`nexus.toml` lies in the data directory (`NEXUS_HOME`, default `~/.local/share/nexus`), or is named with
`--config FILE`. The command line beats the environment (`NEXUS_<SERVICE>_<NAME>`), which beats `nexus.toml`, which
beats the default. What is misspelt is refused, with its line and the nearest name there is. `nexus.schema.json` beside
this page tells editors the same: put `#:schema docs/nexus.schema.json` in the file's first line.

This page is written by `make settings` from the settings themselves.
"""
BEGINNING = """\
#:schema ./nexus.schema.json
# Settings of NEXUS. Everything here is a comment and shows its default: take the # away from a table's name and from
# what you change in it. `nexus config check` tells whether it holds; `nexus restart` puts it in force.
"""
EMPTY = (PydanticUndefined, None, (), {}, [])
OF_EVERY = "Settings of every service"
HERE = {"config", "home"}
"""Told before any file is read, so never in one."""


def service(name: str) -> type[ServiceSettings]:
    role = ROLE_TABLE[name]
    found: type[ServiceSettings] = getattr(importlib.import_module(f"{role.module}.config"), role.settings)
    return found


SERVICES = {name: service(name) for name, role in ROLE_TABLE.items() if role.module}


def shared_table(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("toml", "")) if isinstance(extra, Mapping) else ""


def own(settings: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """What stands in the service's own table, without what all services have unless it is another default."""
    common = ServiceSettings.model_fields
    return {
        name: field
        for name, field in settings.model_fields.items()
        if not shared_table(field)
        and (
            name not in common
            or field.description != common[name].description
            or field.default != common[name].default
        )
    }


def shared() -> dict[str, FieldInfo]:
    """The tables beside the services' own, by name; of several readers the first tells."""
    found: dict[str, FieldInfo] = {}
    for settings in SERVICES.values():
        for field in settings.model_fields.values():
            if table := shared_table(field):
                found.setdefault(table, field)
    return found


def page() -> str:
    """docs/settings.md: every setting, its default, and what it is."""
    parts = [HEAD]
    for table, field in shared().items():
        parts += [section(form, fields) for form, fields in tables(table, field.annotation)]
    for name, settings in SERVICES.items():
        if fields := own(settings):
            parts.append(section(f"[{name}]", fields))
    common = {name: field for name, field in ServiceSettings.model_fields.items() if name not in HERE}
    parts.append(section(OF_EVERY, common, "In the table of any service, or all of them."))
    return "\n".join(parts)


def tables(path: str, annotation: Any) -> Iterator[tuple[str, dict[str, FieldInfo]]]:
    """A table and the tables in it: how each is written in TOML, and the plain values in it."""
    form, model = shape(path, annotation)
    if model is None:
        return
    plain, inner = {}, {}
    for name, field in model.model_fields.items():
        (inner if shape(name, field.annotation)[1] is not None else plain)[name] = field
    if plain:
        yield form, plain
    bare = form.strip("[]")
    for name, field in inner.items():
        yield from tables(f"{bare}.{name}", field.annotation)


def shape(path: str, annotation: Any) -> tuple[str, type[BaseModel] | None]:
    """How a table of that type is written in TOML, and what is in it; None when it is a plain value."""
    arguments = typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{path}]", annotation
    if typing.get_origin(annotation) is tuple and arguments:
        model = shape(path, arguments[0])[1]
        return f"[[{path}]]", model
    if typing.get_origin(annotation) is dict:
        return f'[{path}."NAME"]', shape(path, arguments[1])[1]
    return path, None


def section(title: str, fields: Mapping[str, FieldInfo], text: str = "") -> str:
    rows = [f"| `{name}` | {default(field)} | {told(field)} |" for name, field in fields.items()]
    head = f"## {title}\n" if title == OF_EVERY else f"## `{title}`\n"
    return "\n".join(
        [head, *([text, ""] if text else []), "| setting | default | |", "|---|---|---|", *rows, ""]
    )


def told(field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"a setting without a description: {field}")
    return field.description.replace("|", "\\|")


def default(field: FieldInfo) -> str:
    if field.default_factory is not None or field.default in EMPTY:
        return "required" if field.is_required() else ""
    return f"`{json.dumps(field.default, default=str)}`"


def beginning() -> str:
    """A nexus.toml in which everything is a comment, with its default."""
    parts = [BEGINNING]
    for table, field in shared().items():
        parts += [_commented(form, fields) for form, fields in tables(table, field.annotation)]
    for name, settings in SERVICES.items():
        if fields := own(settings):
            parts.append(_commented(f"[{name}]", fields))
    return "\n".join(parts)


def _commented(title: str, fields: Mapping[str, FieldInfo]) -> str:
    lines = [f"# {title}"]
    for name, field in fields.items():
        lines_of_it = _written(name, field).splitlines()
        lines += [f"#   {told(field)}", f"# {lines_of_it[0] if len(lines_of_it) == 1 else f'{name} ='}"]
    return "\n".join(lines) + "\n"


def _written(name: str, field: FieldInfo) -> str:
    """Its default as TOML; empty when it has none that is written on one line."""
    if field.default_factory or field.default in EMPTY:
        return ""
    return tomli_w.dumps({name: TypeAdapter(Any).dump_python(field.default, mode="json")})


def schema() -> dict[str, Any]:
    """Of nexus.toml as a whole, as JSON Schema."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for table, field in shared().items():
        properties[table] = of_type(field.annotation, definitions) | {"description": field.description or ""}
    for name, settings in SERVICES.items():
        fields = {n: f for n, f in settings.model_fields.items() if not shared_table(f) and n not in HERE}
        properties[name] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {n: of_field(f, definitions) for n, f in fields.items()},
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nexus.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": dict(sorted(definitions.items())),
    }


def of_field(field: FieldInfo, definitions: dict[str, Any]) -> dict[str, Any]:
    annotation = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return of_type(annotation, definitions) | {"description": field.description or ""}


def of_type(annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    made = TypeAdapter(annotation).json_schema(ref_template="#/$defs/{model}")
    definitions |= made.pop("$defs", {})
    return made
