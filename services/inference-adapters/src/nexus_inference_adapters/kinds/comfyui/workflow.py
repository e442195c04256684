"""Workflows as data: a graph in ComfyUI's API format, and which inputs of its nodes the parameters of a request go to.

One that names a node or input that is not there is refused when it is read, or when the server has told what its nodes
take; the refusal names both.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

from nexus_inference_adapters.contract import Json, JsonObject
from nexus_inference_adapters.kinds.comfyui.nodes import Nodes

__all__ = ["SHIPPED", "BadWorkflow", "Graph", "Node", "Place", "Workflow", "as_json", "read", "read_all"]

SHIPPED = Path(__file__).with_name("workflows")
MOST_BYTES = 1024 * 1024
MOST_FILES = 100
PREFIX = "filename_prefix"
NEEDED = {"image": ("prompt",), "image_edit": ("image", "prompt"), "image_variation": ("image",)}
"""Parameters that a workflow for an operation must take."""


class BadWorkflow(ValueError):
    """What is wrong with a file, with its name, and the node and input where it is about one."""


class Node(msgspec.Struct, frozen=True):
    """`inputs`: values, and links as [node, number of its output]."""

    class_type: str
    inputs: dict[str, Json]


Graph = dict[str, Node]
Place = tuple[str, str]
"""A node and its input."""


class Without(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a parameter is not given, `node` is left out: instead of its outputs, in order, go these inputs of it."""

    node: str
    outputs: list[str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operation: str
    output: str
    inputs: dict[str, list[Place]]
    graph: Graph
    models: str = ""
    sizes: list[str] = []
    without: dict[str, Without] = {}


@dataclass(frozen=True, slots=True)
class Workflow:
    """`models`: the parameter each of whose choices is a model of its own; empty = the workflow is one. `shipped`: it
    came with NEXUS, so its models bear the names of the choices alone."""

    name: str
    shipped: bool
    file: _File

    @property
    def operation(self) -> str:
        return self.file.operation

    @property
    def models(self) -> str:
        return self.file.models

    @property
    def output(self) -> str:
        """The node whose pictures are the answer."""
        return self.file.output

    @property
    def sizes(self) -> list[str]:
        return self.file.sizes

    @property
    def parameters(self) -> Mapping[str, Place]:
        """By name, with the first of the inputs each goes to: what that takes, all of them must."""
        return {name: places[0] for name, places in self.file.inputs.items()}

    @property
    def classes(self) -> set[str]:
        """Of its nodes."""
        return {node.class_type for node in self.file.graph.values()}

    def usual(self, parameter: str) -> Json:
        """The value in the graph."""
        node, name = self.parameters[parameter]
        return self.file.graph[node].inputs[name]

    def class_of(self, place: Place) -> str:
        return self.file.graph[place[0]].class_type

    def check(self, nodes: Nodes) -> None:
        """Raises BadWorkflow for what the server's nodes do not take."""
        for key, node in self.file.graph.items():
            if node.class_type not in nodes:
                raise self._bad(f"node {key!r} is a {node.class_type!r}, which this ComfyUI does not have")
            for name, value in node.inputs.items():
                if not nodes.has(node.class_type, name):
                    raise self._bad(f"node {key!r} ({node.class_type}) takes no input {name!r}")
                self._check_value(nodes, (key, name), value)
            if missing := sorted(nodes.required(node.class_type) - node.inputs.keys()):
                raise self._bad(f"node {key!r} ({node.class_type}) lacks its input {missing[0]!r}")

    def filled(self, given: Mapping[str, Json]) -> Graph:
        """The graph with these parameters. Its files have names of their own: one that was made before is not taken for
        the answer."""
        graph = copy.deepcopy(self.file.graph)
        for parameter, value in given.items():
            for node, name in self.file.inputs.get(parameter, ()):
                graph[node].inputs[name] = value
        for parameter, without in self.file.without.items():
            if parameter not in given:
                _leave_out(graph, without)
        for node in graph.values():
            if isinstance(prefix := node.inputs.get(PREFIX), str):
                node.inputs[PREFIX] = f"{prefix}-{uuid4().hex[:8]}"
        return graph

    def _check_value(self, nodes: Nodes, place: Place, value: Json) -> None:
        key, name = place
        kind = self.class_of(place)
        if _is_link(value, self.file.graph):
            return
        choices = nodes.choices(kind, name)
        mapped = any(place in places for places in self.file.inputs.values())
        if choices is not None and value not in choices and not (mapped and value == ""):
            known = ", ".join(map(str, choices[:20])) or "none"
            raise self._bad(f"input {name!r} of node {key!r} ({kind}) is {value!r}; there are: {known}")

    def _bad(self, what: str) -> BadWorkflow:
        return BadWorkflow(f"In workflow {self.name}.json {what}.")


def read(path: Path, *, shipped: bool = False) -> Workflow:
    """Raises BadWorkflow."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadWorkflow(f"Workflow {path.name} cannot be read: {error.strerror}.") from None
    if len(raw) > MOST_BYTES:
        raise BadWorkflow(f"Workflow {path.name} is larger than {MOST_BYTES} bytes.")
    try:
        file = msgspec.json.decode(raw, type=_File)
    except (ValueError, RecursionError) as error:
        raise BadWorkflow(f"Workflow {path.name}: {_why(raw) or error}.") from None
    for why in _faults(file):
        raise BadWorkflow(f"In workflow {path.name} {why}.")
    return Workflow(path.stem, shipped, file)


def read_all(folder: Path | None) -> tuple[list[Workflow], list[str]]:
    """Those that come with NEXUS and those of `folder`, by name; and what is wrong with the others of it."""
    found = [read(path, shipped=True) for path in sorted(SHIPPED.glob("*.json"))]
    wrong: list[str] = []
    if folder is not None and not folder.is_dir():
        wrong.append(f"There is no folder {folder} of workflows.")
    elif folder is not None:
        for path in sorted(folder.glob("*.json"))[:MOST_FILES]:
            try:
                found.append(read(path))
            except BadWorkflow as error:
                wrong.append(str(error))
    return found, wrong


def _why(raw: bytes) -> str:
    """A plainer word for the commonest mistake."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return "it is no JSON"
    if isinstance(value, dict) and isinstance(value.get("nodes"), list):
        return "it was saved for ComfyUI's own page; export it with `Export (API)` and put that under `graph`"
    return ""


def _faults(file: _File) -> Iterator[str]:
    if file.output not in file.graph:
        yield f"`output` names node {file.output!r}, which the graph does not have"
    if file.models and file.models not in file.inputs:
        yield f"`models` names {file.models!r}, which `inputs` does not have"
    for parameter in NEEDED.get(file.operation, ()):
        if parameter not in file.inputs:
            yield f"`inputs` does not say where the `{parameter}` goes"
    for parameter, places in file.inputs.items():
        if not places:
            yield f"`inputs` says no place for {parameter!r}"
        for node, name in places:
            yield from _missing(file.graph, node, name, f"`inputs` of {parameter!r}")
    for parameter, without in file.without.items():
        for name in without.outputs:
            yield from _missing(file.graph, without.node, name, f"`without` of {parameter!r}")
    for key, node in file.graph.items():
        for name, value in node.inputs.items():
            if isinstance(value, list) and not _is_link(value, file.graph):
                yield f"input {name!r} of node {key!r} is a link to no node of the graph"


def _missing(graph: Graph, node: str, name: str, where: str) -> Iterator[str]:
    if node not in graph:
        yield f"{where} names node {node!r}, which the graph does not have"
    elif name not in graph[node].inputs:
        yield f"{where} names input {name!r}, which node {node!r} ({graph[node].class_type}) does not have"


def _is_link(value: Json, graph: Graph) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in graph and type(value[1]) is int


def _leave_out(graph: Graph, without: Without) -> None:
    gone = graph.pop(without.node)
    for node in graph.values():
        for name, value in node.inputs.items():
            if isinstance(value, list) and value[0] == without.node:
                node.inputs[name] = gone.inputs[without.outputs[value[1]]]


def as_json(graph: Graph) -> JsonObject:
    """As it is sent."""
    return msgspec.to_builtins(graph)
