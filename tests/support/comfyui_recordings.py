"""Recordings of real ComfyUI servers, and the same requests sent to another one.

A line is an HTTP exchange or a frame of the WebSocket, in the order in which they came.
"""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]
FOLDER = Path(__file__).with_name("recordings")
FRAME_SECONDS = 20.0


def recording(name: str) -> list[Json]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def object_info_of(lines: list[Json]) -> Json:
    """What a recording knows of nodes."""
    told: Json = {}
    for line in lines:
        if line["kind"] == "http" and line["path"].startswith("/object_info/"):
            told |= line["answer"]
    return told


def frame_of(message: aiohttp.WSMessage) -> Json:
    """A frame as recordings have it: of pictures how many bytes they have, not the bytes."""
    if message.type == aiohttp.WSMsgType.TEXT:
        return {"kind": "ws", "text": json.loads(message.data)}
    kind, second = struct.unpack_from(">II", message.data)
    about = json.loads(message.data[8 : 8 + second]) if kind == 4 else {"format": second}
    picture = message.data[8 + second if kind == 4 else 8 :]
    return {
        "kind": "ws",
        "binary": {"type": kind, "about": about, "starts": picture[:3].hex(), "bytes": len(picture)},
    }


def plain(frame: Json) -> Json | tuple[Any, ...]:
    """What must be the same of a frame each time: not when, which picture, or how many bytes."""
    if "binary" in frame:
        told = frame["binary"]
        return ("binary", told["type"], sorted(told["about"]), told["starts"])
    kind, data = frame["text"]["type"], dict(frame["text"]["data"])
    if kind == "progress_state":
        nodes = {
            key: (float(one["value"]), float(one["max"]), one["state"]) for key, one in data["nodes"].items()
        }
        return (kind, nodes, sorted(next(iter(data["nodes"].values()))))
    if kind == "executed":
        return (kind, data["node"], sorted(data["output"]), [one["type"] for one in data["output"]["images"]])
    if "executed" in data:
        data["executed"] = sorted(data["executed"])
    return (
        kind,
        sorted(data),
        {key: data[key] for key in data if key not in ("prompt_id", "timestamp", "sid")},
    )


def of_prompts(lines: list[Json]) -> dict[str, list[Any]]:
    """The frames of each prompt, by its id in the order in which they began."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        if line["kind"] == "ws":
            data = line["binary"]["about"] if "binary" in line else line["text"]["data"]
            if isinstance(data.get("prompt_id"), str):
                found.setdefault(data["prompt_id"], []).append(plain(line))
    return found


def statuses(lines: list[Json]) -> list[int]:
    """How many prompts there were, each time that it was told."""
    return [
        line["text"]["data"]["status"]["exec_info"]["queue_remaining"]
        for line in lines
        if line["kind"] == "ws" and line.get("text", {}).get("type") == "status"
    ]


async def replayed(lines: list[Json], url: str) -> list[Json]:
    """The requests of a recording at another server, each after as many frames as came before it there."""
    made: list[Json] = []
    names: dict[str, str] = {}
    flags = any(
        line["kind"] == "ws" and line.get("text", {}).get("type") == "feature_flags" for line in lines
    )
    async with aiohttp.ClientSession(url) as session:
        client = next(
            line["text"]["data"]["sid"] for line in lines if "sid" in line.get("text", {}).get("data", {})
        )
        async with session.ws_connect(f"/ws?clientId={client}") as socket:
            if flags:
                hello = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
                await socket.send_json(hello)
            for line in lines:
                if line["kind"] == "ws":
                    async with asyncio.timeout(FRAME_SECONDS):
                        made.append(frame_of(await socket.receive()))
                elif not line["path"].startswith("/upload"):
                    made.append(await _again(session, line, names))
    return made


async def _again(session: aiohttp.ClientSession, line: Json, names: dict[str, str]) -> Json:
    path, body = line["path"], json.dumps(line["body"])
    for old, new in names.items():
        path, body = path.replace(old, new), body.replace(old, new)
    sent = None if line["body"] is None else json.loads(body)
    async with session.request(line["method"], path, json=sent) as response:
        raw = await response.read()
        answer = json.loads(raw) if response.content_type == "application/json" else f"<{len(raw)} bytes>"
    if line["path"] == "/prompt" and response.status == 200 and line["method"] == "POST":
        names[line["answer"]["prompt_id"]] = answer["prompt_id"]
    return {**line, "path": path, "status": response.status, "answer": answer}
