"""The fake ComfyUI against recordings of a real one: the same requests, the same frames in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from support.comfyui_recordings import object_info_of, of_prompts, recording, replayed, statuses
from support.fake_comfyui import FakeComfyUI

RECORDINGS = ("comfyui-0.8.0.jsonl", "comfyui-0.8.0-sampler.jsonl")
LARGE_SECONDS = 1.0
STEP_SECONDS = 0.02


def pace(kind: str, inputs: dict[str, Any]) -> float:
    """What took the recorded server seconds takes long enough here for what happened meanwhile."""
    return LARGE_SECONDS if kind == "ImageScale" and inputs["width"] > 1000 else 0.0


def answers(lines: list[dict[str, Any]]) -> list[object]:
    """What must be the same of each answer."""
    told: list[object] = []
    for line in lines:
        if line["kind"] != "http" or line["path"].startswith(
            ("/upload", "/object_info", "/models", "/embeddings")
        ):
            continue
        answer = line["answer"]
        shape: object = sorted(answer) if isinstance(answer, dict) else None
        match line["method"], line["path"].split("?")[0].split("/")[1]:
            case "POST", "prompt":
                errors = answer.get("node_errors", {})
                found = {key: [one["type"] for one in about["errors"]] for key, about in errors.items()}
                shape = (sorted(answer), (answer.get("error") or {}).get("type"), found)
            case "GET", "queue":
                shape = (len(answer["queue_running"]), len(answer["queue_pending"]))
            case "GET", "history":
                about = list(answer.values())
                shape = [(sorted(one), sorted(one["outputs"]), one["status"]["status_str"]) for one in about]
            case _:
                pass
        told.append((line["method"], line["path"].split("/")[1].split("?")[0], line["status"], shape))
    return told


@pytest.mark.parametrize("name", RECORDINGS)
async def test_the_same_requests_bring_the_same_frames(name: str) -> None:
    lines = recording(name)
    fake = FakeComfyUI(recorded_nodes(name))
    fake.pace, fake.step_seconds = pace, STEP_SECONDS
    async with fake:
        again = await replayed(lines, fake.url)
    expected, found = list(of_prompts(lines).values()), list(of_prompts(again).values())
    assert len(found) == len(expected) > 2
    for real, made in zip(expected, found, strict=True):
        assert made == real
    assert statuses(again) == statuses(lines)
    assert answers(again) == answers(lines)


def recorded_nodes(name: str) -> dict[str, Any]:
    """What the recorded server knew; of nodes that nobody asked it about, that they are there."""
    nodes = object_info_of(recording(name))
    for line in recording(name):
        if line["kind"] == "http" and line["status"] == 200 and line["path"] == "/prompt" and line["body"]:
            for node in line["body"]["prompt"].values():
                nodes.setdefault(node["class_type"], {"input": {"required": {}}})
    nodes.setdefault("EmptyImage", {})["input"] = {"required": {"width": ["INT", {"min": 1}]}}
    nodes.setdefault("VAEDecode", {"input": {"required": {}}})
    return nodes
