"""The models of a server: each choice of a workflow that has a model to choose, and every other workflow itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

from nexus.types.v1 import model_pb2

from nexus_inference_adapters.contract import JsonObject, Offer
from nexus_inference_adapters.kinds.comfyui.nodes import Nodes
from nexus_inference_adapters.kinds.comfyui.workflow import BadWorkflow, Workflow
from nexus_inference_adapters.pictures import MOST_SEED, SIZES, offered, size_of
from nexus_inference_adapters.vocabulary import OPERATIONS

__all__ = ["DOES", "Catalogue", "Way", "catalogue_of"]

DOES = ("image", "image_edit", "image_variation")
"""Operations whose answers this adapter can make; workflows for others are kept for those who can."""
FILES = ("image", "mask")
OF_ORDERS = frozenset({"prompt", "seed", "width", "height", *FILES})
"""Parameters that every model of pictures has, whatever a node says of them."""
MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """How a model does an operation: a workflow, and what was chosen in it."""

    workflow: Workflow
    choice: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`ways`: by the name of the offer, the operation, and whether there is a mask. `wrong`: what keeps workflows from
    being offered."""

    offers: list[Offer]
    ways: dict[tuple[str, int, bool], Way]
    wrong: list[str]


def catalogue_of(workflows: list[Workflow], nodes: Nodes, allowed: tuple[str, ...]) -> Catalogue:
    """What can be offered of them at a server with these nodes. `allowed`: ids; empty = all."""
    models: dict[str, model_pb2.Model] = {}
    ways: dict[tuple[str, int, bool], Way] = {}
    wrong: list[str] = []
    for workflow in workflows:
        if workflow.operation not in DOES:
            continue
        try:
            workflow.check(nodes)
        except BadWorkflow as error:
            wrong.append(str(error))
            continue
        operation, masked = OPERATIONS[workflow.operation], "mask" in workflow.parameters
        for name, choice in _models(workflow, nodes):
            if not allowed or name in allowed:
                models.setdefault(name, model_pb2.Model(id=name, owner="comfyui"))
                ways.setdefault((name, operation, masked), Way(workflow, choice))
    for (name, operation, masked), way in ways.items():
        both = (name, operation, not masked) in ways
        if not (both and masked):  # one that can do with and without is told once
            operation = cast("model_pb2.Operation", operation)
            models[name].operations.append(operation)
            files = FILES[: 1 + (both or masked)] if "image" in way.workflow.parameters else ()
            models[name].parameters.append(_parameters(way.workflow, nodes, operation, files))
    return Catalogue([Offer(model, name) for name, model in models.items()], ways, wrong)


def _models(workflow: Workflow, nodes: Nodes) -> Iterator[tuple[str, str]]:
    """Ids, and what is chosen for each."""
    if not workflow.models:
        yield workflow.name, ""
        return
    place = workflow.parameters[workflow.models]
    choices = [str(each) for each in nodes.choices(workflow.class_of(place), place[1]) or ()]
    short = Counter(_short(each) for each in choices)
    for choice in choices:
        name = _short(choice) if short[_short(choice)] == 1 else choice.replace("\\", "/")
        yield (name if workflow.shipped else f"{workflow.name}:{name}"), choice


def _short(file: str) -> str:
    """A file's name without its ending, in its folder."""
    return str(PurePosixPath(file.replace("\\", "/")).with_suffix(""))


def _parameters(
    workflow: Workflow, nodes: Nodes, operation: model_pb2.Operation, files: tuple[str, ...]
) -> model_pb2.OperationParameters:
    more: JsonObject = {}
    for name, place in workflow.parameters.items():
        if name in OF_ORDERS or name == workflow.models:
            continue
        rule = nodes.schema(workflow.class_of(place), place[1], workflow.usual(name))
        if rule is not None:
            more[name] = rule
    if "steps" in more:
        more["steps"]["maximum"] = min(more["steps"].get("maximum", MOST_STEPS), MOST_STEPS)
    if "lora_name" not in more:
        more.pop("lora_strength", None)
    return offered(
        more,
        sizes=_sizes(workflow, nodes),
        efforts="steps" in more,
        previews="steps" in more,
        seeds=MOST_SEED if "seed" in workflow.parameters else 0,
        operation=operation,
        prompts="prompt" in workflow.parameters,
        files=files,
    )


def _sizes(workflow: Workflow, nodes: Nodes) -> list[str]:
    """Those of the workflow's own list, or else of the usual ones, that its nodes take."""
    places = workflow.parameters
    if not {"width", "height"} <= places.keys():
        return []
    limits = [nodes.bounds(workflow.class_of(places[name]), places[name][1]) for name in ("width", "height")]
    return [
        size
        for size in workflow.sizes or SIZES
        if all(
            low <= side <= high and side % step == 0
            for side, (low, high, step) in zip(size_of(size), limits, strict=True)
        )
    ]
