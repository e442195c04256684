"""GET metadata, metadata/{model} and metadata/{model}/{operation}: what can be asked for now, and how a request of it
is made, as a JSON Schema that a form can be drawn of. Whoever asks is told of those backends alone that its requests
can go to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import SPECS
from nexus_routing import Capability, Model

from nexus_gateway.access import Principal
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.http import Exchange
from nexus_gateway.validation import CHECKS, Backing, offered

__all__ = [
    "Fleet",
    "FormGroup",
    "FormLayout",
    "Metadata",
    "MetadataRoutes",
    "ModelMetadata",
    "OperationMetadata",
    "Work",
]

NUMBERS = {SPECS[number].name: number for number in CHECKS}
BASE = "/v1"


class Metadata(Protocol):
    """The part of the pipeline these routes use."""

    def models(self, principal: Principal | None = None) -> Iterable[ModelRow]: ...

    def model(self, name: str, principal: Principal) -> ModelRow: ...

    def offers(self, name: str, principal: Principal) -> Mapping[int, Sequence[Model]]: ...


class FormGroup(Struct):
    """Parameters that stand together, under a title for people."""

    name: str
    title: str
    parameters: list[str]


class FormLayout(Struct):
    """How to lay a form out. `order` has every parameter but the model's name; `advanced` those that can wait."""

    order: list[str]
    groups: list[FormGroup]
    advanced: list[str]


class OperationMetadata(Struct):
    """How one kind of request of one model is made. `schema`: of the whole request; files stand in it as strings of
    format `binary`, and are parts of a form of the other parameters. `context_tokens` null = not known."""

    model: str
    operation: str
    method: str
    path: str
    content_type: str
    capabilities: list[str]
    context_tokens: int | None
    schema: JsonObject
    ui: FormLayout
    object: str = "operation.metadata"


class ModelMetadata(Struct):
    """What one model can do now."""

    id: str
    owned_by: str
    operations: list[OperationMetadata]
    object: str = "model.metadata"


class Work(Struct):
    """A kind of request, and the models that can do it."""

    operation: str
    method: str
    path: str
    models: list[str]


class Fleet(Struct):
    """What the mesh can do now."""

    operations: list[Work]
    models: list[ModelMetadata]
    object: str = "metadata"


class _Model(Struct):
    """A ModelMetadata whose operations are written already."""

    id: str
    owned_by: str
    operations: list[Raw]
    object: str = "model.metadata"


class _Fleet(Struct):
    operations: list[Work]
    models: list[_Model]
    object: str = "metadata"


class MetadataRoutes:
    """The handlers."""

    def __init__(self, pipeline: Metadata) -> None:
        self._pipeline = pipeline

    async def fleet(self, exchange: Exchange) -> None:
        told, by_work = list[_Model](), dict[str, list[str]]()
        for row in self._pipeline.models(exchange.caller):
            if operations := self._operations(row, exchange.caller):
                told.append(_Model(row.id, row.owned_by, [*operations.values()]))
            for name in operations:
                by_work.setdefault(name, []).append(row.id)
        work = [Work(name, "POST", _path(name), models) for name, models in sorted(by_work.items())]
        await _answer(exchange, msgspec.json.encode(_Fleet(work, told)))

    async def one(self, exchange: Exchange) -> None:
        """A model, or one of its operations: a model's name may end in what is the name of an operation too."""
        asked: str = exchange.scope["path_params"]["model_id"]
        wanted = parse_qs(exchange.scope["query_string"].decode("latin-1")).get("operation", [""])[-1]
        try:
            row = self._pipeline.model(asked, exchange.caller)
        except MeshError:
            name, _, last = asked.rpartition("/")
            if wanted or not name or last not in NUMBERS:
                raise
            row, wanted = self._pipeline.model(name, exchange.caller), last
        operations = self._operations(row, exchange.caller)
        if not wanted:
            await _answer(exchange, msgspec.json.encode(_Model(row.id, row.owned_by, [*operations.values()])))
        elif (told := operations.get(wanted)) is not None:
            await _answer(exchange, bytes(told))
        else:
            raise _not_done(row.id, wanted, operations)

    def _operations(self, row: ModelRow, caller: Principal) -> dict[str, Raw]:
        """Those with a URL that every backend of the model has a common form of, by name."""
        found: dict[str, Raw] = {}
        for number, models in self._pipeline.offers(row.id, caller).items():
            if number in CHECKS:
                backings = frozenset(_backing(model, number) for model in models)
                if (told := _operation(row.id, number, backings)) is not None:
                    found[SPECS[number].name] = told
        return dict(sorted(found.items()))


def _backing(model: Model, operation: int) -> Backing:
    catalogue = next((schema for number, schema in model.parameters if number == operation), "")
    return Backing(catalogue, model.capabilities, model.context_tokens)


@lru_cache(maxsize=2048)
def _operation(model: str, operation: int, backings: frozenset[Backing]) -> Raw | None:
    """Written once, for as long as its backends say the same."""
    offer = offered(operation, backings)
    if offer is None:
        return None
    name = SPECS[operation].name
    properties = {
        **offer.schema["properties"],
        "model": {**offer.schema["properties"]["model"], "const": model},
    }
    told = OperationMetadata(
        model=model,
        operation=name,
        method="POST",
        path=_path(name),
        content_type="multipart/form-data" if SPECS[operation].files else "application/json",
        capabilities=[Capability(each).name.lower() for each in sorted(offer.capabilities)],
        context_tokens=offer.context or None,
        schema={**offer.schema, "properties": properties},
        ui=msgspec.convert(offer.ui, FormLayout),
    )
    return Raw(msgspec.json.encode(told))


def _path(operation: str) -> str:
    return BASE + SPECS[NUMBERS[operation]].path


async def _answer(exchange: Exchange, body: bytes) -> None:
    """The body, or that it is what the client has. Its tag is made of what it says: any gateway makes the same."""
    tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    headers = [(b"etag", tag), (b"cache-control", b"private, no-cache"), (b"vary", b"authorization")]
    known = {
        each.strip().removeprefix(b"W/") for each in exchange.fields.get(b"if-none-match", b"").split(b",")
    }
    if known & {tag, b"*"}:
        await exchange.respond_nothing(headers, 304)
    else:
        await exchange.respond(200, body, headers)


def _not_done(model: str, wanted: str, operations: Mapping[str, Raw]) -> MeshError:
    can = ", ".join(operations) or "nothing for this key now"
    return MeshError(
        Reason.OBJECT_NOT_FOUND,
        f"The model '{model[:128]}' has no operation {wanted[:64]!r}: it does {can}.",
        metadata={"param": "operation"},
    )
