"""Writes docs/settings.md and docs/nexus.schema.json from what the settings say of themselves.

python tools/settings.py [--check]     (--check: says what is stale, writes nothing)
"""

from __future__ import annotations

import importlib
import json
import sys
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nexus_mesh.identity import ROLE_TABLE
from nexus_mesh.settings import ServiceSettings
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

DOCS = Path(__file__).parent.parent / "docs"
HEAD = """\
# Settings

`nexus.toml` lies in the data directory (`NEXUS_HOME`, default `~/.local/share/nexus`), or is named with
`--config FILE`. The command line beats the environment (`NEXUS_<SERVICE>_<NAME>`), which beats `nexus.toml`, which
beats the default. What is misspelt is refused, with its line and the nearest name there is. `nexus.schema.json` beside
this page tells editors the same: put `#:schema docs/nexus.schema.json` in the file's first line.

This page is written by `make settings` from the settings themselves.
"""
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
    parts = [HEAD]
    for table, field in shared().items():
        parts += tables(table, field.annotation)
    for name, settings in SERVICES.items():
        if fields := own(settings):
            parts.append(section(f"[{name}]", fields))
    common = {name: field for name, field in ServiceSettings.model_fields.items() if name not in HERE}
    parts.append(section(OF_EVERY, common, "In the table of any service, or all of them."))
    return "\n".join(parts)


def tables(path: str, annotation: Any) -> Iterator[str]:
    """The section of a table, and of the tables in it."""
    form, model = shape(path, annotation)
    if model is None:
        return
    plain, inner = {}, {}
    for name, field in model.model_fields.items():
        (inner if shape(name, field.annotation)[1] is not None else plain)[name] = field
    if plain:
        yield section(form, plain)
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
    if field.default_factory is not None or field.default in (PydanticUndefined, None, (), {}, []):
        return "required" if field.is_required() else ""
    return f"`{json.dumps(field.default, default=str)}`"


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


def main() -> int:
    wanted = {
        DOCS / "settings.md": page(),
        DOCS / "nexus.schema.json": json.dumps(schema(), indent=1, sort_keys=True) + "\n",
    }
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv:
        for file in stale:
            sys.stderr.write(
                f"{file.relative_to(DOCS.parent)} is not what the settings say; run `make settings`\n"
            )
        return 1 if stale else 0
    for file in stale:
        file.write_text(wanted[file])
    return 0


if __name__ == "__main__":
    sys.exit(main())
