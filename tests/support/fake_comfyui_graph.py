"""Graphs in the fake ComfyUI: what is wrong with one, in which order its nodes run, and what each of them tells."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from support.painted import picture_file

if TYPE_CHECKING:
    from support.fake_comfyui import FakeComfyUI

Json = dict[str, Any]
OUTPUTS = {
    "SaveImage": ("output", "{prefix}_{number:05}_.png"),
    "PreviewImage": ("temp", "ComfyUI_temp_zdnzp_{number:05}_.png"),
}
"""Where their files go, and how these are called: temporary ones by chance, of which this is one recorded."""
SAMPLERS = {"KSampler"}
LOADERS = {"LoadImage", "LoadImageMask"}
"""They look for a file themselves, whatever their list says; "NAME [temp]" is one of the temporary ones."""
LOOK_SIDE = 512


class Interrupted(Exception):
    """By somebody's wish."""

    def __init__(self, about: Json) -> None:
        super().__init__()
        self.about = about


class Broken(Interrupted):
    """A node raised."""


def faults_of(
    nodes: Json, body: Json, files: Collection[tuple[str, str, str]]
) -> tuple[Json | None, Json, list[str]]:
    """The error that refuses all, or None; what is wrong by node; and the outputs that can be made."""
    graph = body.get("prompt")
    if graph is None:
        return _error("no_prompt", "No prompt provided", "No prompt provided"), {}, []
    for key, node in graph.items():
        if node["class_type"] not in nodes:
            what = f"Cannot execute because node {node['class_type']} does not exist."
            return _error("invalid_prompt", what, f"Node ID '#{key}'"), {}, []
    outputs = [key for key, node in graph.items() if node["class_type"] in OUTPUTS]
    if not outputs:
        return _error("prompt_no_outputs", "Prompt has no outputs"), {}, []
    wrong: Json = {}
    good = []
    for output in outputs:
        bad = {key: found for key in _needs(graph, output) if (found := _wrong(nodes, graph[key], files))}
        for key, found in bad.items():
            about = {"errors": found, "dependent_outputs": [], "class_type": graph[key]["class_type"]}
            wrong.setdefault(key, about)["dependent_outputs"].append(output)
        good += [] if bad else [output]
    if good:
        return None, wrong, good
    return _error("prompt_outputs_failed_validation", "Prompt outputs failed validation"), wrong, []


class Run:
    """One prompt at work."""

    def __init__(self, server: FakeComfyUI, prompt: str, graph: Json, client: str, preview: str) -> None:
        self._server, self._prompt, self._graph, self._client = server, prompt, graph, client
        self._preview = preview != "none"
        self._states: Json = {}
        self._done: list[str] = []
        self._known = dict(server.cache)
        self.made: Json = {}
        server.cache = {
            sign: kept for key in graph if (kept := self._known.get(sign := self._sign(key))) is not None
        }

    def cached(self) -> list[str]:
        return [key for key in self._graph if self._sign(key) in self._known]

    async def execute(self, output: str) -> None:
        """An output and what it needs, in ComfyUI's order: of what can run, what it came upon first."""
        pending = self._pending(output)
        while pending:
            key = next(key for key in pending if not set(_links(self._graph[key])) & set(pending))
            pending.remove(key)
            await self._node(key)

    def _pending(self, output: str) -> list[str]:
        found: list[str] = []
        stack = [output]
        while stack:
            key = stack.pop()
            if key in found:
                continue
            found.append(key)
            stack += [each for each in _links(self._graph[key]) if self._sign(each) not in self._known]
        return found

    async def _node(self, key: str) -> None:
        server, node = self._server, self._graph[key]
        kind, inputs, sign = node["class_type"], node["inputs"], self._sign(key)
        if sign in self._known:
            await self._executed(key, self._known[sign])
            self._states[key] = (1, 1, "finished")
            await self._tell_states()
            return
        self._states[key] = (0.0, 1.0, "running")
        await self._tell_states()
        await server.tell(
            self._client, "executing", {"node": key, "display_node": key, "prompt_id": self._prompt}
        )
        self._check(key)
        if kind in server.fails:
            raise Broken(
                {
                    "node_id": key, "node_type": kind, "executed": self._done, "exception_message": "/secret/path",
                    "exception_type": server.fails[kind], "traceback": [], "current_inputs": {}, "current_outputs": [],
                }
            )  # fmt: skip
        if kind in SAMPLERS:
            await self._sample(key, inputs["steps"])
        await asyncio.sleep(server.pace(kind, inputs))
        made = self._files(kind, inputs) if kind in OUTPUTS else True
        await self._executed(key, made)
        server.cache[sign] = made
        self._done.insert(0, key)
        value, most, _ = self._states[key]
        self._states[key] = (most or value, most, "finished")
        await self._tell_states()

    async def _sample(self, key: str, steps: int) -> None:
        server = self._server
        for step in range(1, steps + 1):
            await asyncio.sleep(server.step_seconds)
            self._check(key)
            self._states[key] = (step, steps, "running")
            await self._tell_states()
            if self._preview:
                told = dict.fromkeys(("node_id", "display_node_id", "real_node_id"), key)
                about = {**told, "prompt_id": self._prompt, "parent_node_id": None}
                await server.show(self._client, about, picture_file(step, LOOK_SIDE, LOOK_SIDE, "jpeg"))
            told = {"value": step, "max": steps, "prompt_id": self._prompt, "node": key}
            await server.tell(self._client, "progress", told)

    def _check(self, key: str) -> None:
        if self._server.interrupted:
            self._server.interrupted = False
            kind = self._graph[key]["class_type"]
            raise Interrupted({"node_id": key, "node_type": kind, "executed": self._done})

    async def _executed(self, key: str, made: Any) -> None:
        if isinstance(made, list):
            self.made[key] = {"images": made}
            about = {"node": key, "display_node": key, "output": {"images": made}, "prompt_id": self._prompt}
            await self._server.tell(self._client, "executed", about)

    async def _tell_states(self) -> None:
        nodes = {
            key: {
                "value": value, "max": most, "state": state, "node_id": key, "prompt_id": self._prompt,
                "display_node_id": key, "parent_node_id": None, "real_node_id": key,
            }
            for key, (value, most, state) in self._states.items()
        }  # fmt: skip
        await self._server.tell(self._client, "progress_state", {"prompt_id": self._prompt, "nodes": nodes})

    def _files(self, kind: str, inputs: Json) -> list[Json]:
        folder, form = OUTPUTS[kind]
        sized = [node["inputs"] for node in self._graph.values() if "width" in node["inputs"]]
        width, height = (sized[-1]["width"], sized[-1]["height"]) if sized else (64, 64)
        files = self._server.files
        number = sum(place[0] == folder for place in files) + 1
        name = form.format(prefix=inputs.get("filename_prefix", ""), number=number)
        seed = zlib.crc32(repr(sorted(self._graph.items())).encode())
        files[folder, "", name] = picture_file(seed, min(width, 256), min(height, 256), "png")
        return [{"filename": name, "subfolder": "", "type": folder}]

    def _sign(self, key: str) -> str:
        node = self._graph[key]
        told = {
            name: self._sign(value[0]) if _is_link(value) else value
            for name, value in sorted(node["inputs"].items())
        }
        return repr((node["class_type"], told))


def _needs(graph: Json, output: str) -> list[str]:
    found, stack = [], [output]
    while stack:
        key = stack.pop()
        if key not in found:
            found.append(key)
            stack += _links(graph[key])
    return found


def _links(node: Json) -> list[str]:
    return [value[0] for value in node["inputs"].values() if _is_link(value)]


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _wrong(nodes: Json, node: Json, files: Collection[tuple[str, str, str]]) -> list[Json]:
    found: list[Json] = []
    for name, spec in nodes[node["class_type"]]["input"].get("required", {}).items():
        value = node["inputs"].get(name)
        told = {"input_name": name, "input_config": spec, "received_value": value}
        least = spec[1].get("min") if len(spec) > 1 else None
        if value is None:
            found.append(_error("required_input_missing", "Required input is missing", name, told))
        elif node["class_type"] in LOADERS and name == "image":
            file, _, folder = value.removesuffix("]").partition(" [")
            if (folder or "input", "", file) not in files:
                found.append(
                    _error("custom_validation_failed", "Custom validation failed for node", name, told)
                )
        elif isinstance(spec[0], list) and value not in spec[0]:
            found.append(
                _error("value_not_in_list", "Value not in list", f"{name}: {value!r} not in {spec[0]}", told)
            )
        elif least is not None and not _is_link(value) and value < least:
            found.append(
                _error("value_smaller_than_min", f"Value {value} smaller than min of {least}", name, told)
            )
    return found


def _error(kind: str, message: str, details: str = "", extra: Json | None = None) -> Json:
    return {"type": kind, "message": message, "details": details, "extra_info": extra or {}}
