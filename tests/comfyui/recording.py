"""What a real ComfyUI says while it paints, is looked at, has one of three prompts taken back, and one interrupted."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
from nexus_inference_adapters.kinds.comfyui.workflow import SHIPPED, as_json, read
from support.comfyui_recordings import frame_of

__all__ = ["record"]

Json = dict[str, Any]
MODEL = "tiny.safetensors"


class _Recorder:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.lines: list[Json] = []
        self._session = session
        self._since = time.monotonic()
        self._new = asyncio.Event()

    async def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        async with self._session.request(method, path, json=body) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            answer = json.loads(raw) if is_json else f"<{len(raw)} bytes {response.content_type}>"
            line = {"kind": "http", "method": method, "path": path, "body": body, "status": response.status}
            self.lines.append({**line, "answer": answer})
            return answer

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            self.lines.append({**frame_of(message), "t": round(time.monotonic() - self._since, 3)})
            self._new.set()

    async def until(self, kind: str, prompt: str, **wanted: object) -> None:
        """An event of a prompt with these values has come."""
        while not any(self._is(line, kind, prompt, wanted) for line in self.lines):
            self._new.clear()
            await asyncio.wait_for(self._new.wait(), 60)

    @staticmethod
    def _is(line: Json, kind: str, prompt: str, wanted: Json) -> bool:
        text = line.get("text", {})
        data = text.get("data", {})
        found = text.get("type") == kind and data.get("prompt_id") == prompt
        return found and all(key in data and data[key] == value for key, value in wanted.items())


def _graph(seed: int, steps: int) -> Json:
    workflow = read(SHIPPED / "text_to_image.json")
    given = {"prompt": "a fox", "checkpoint": MODEL, "width": 64, "height": 64, "seed": seed, "steps": steps}
    return as_json(workflow.filled(given))


async def record(url: str, path: Path) -> None:
    """Writes it, one JSON object a line."""
    classes = sorted({name for each in SHIPPED.glob("*.json") for name in read(each).classes})
    async with aiohttp.ClientSession(url) as session:
        recorder = _Recorder(session)
        client = str(uuid.uuid4())

        async def prompt(seed: int, steps: int, **extra: str) -> str:
            body = {"prompt": _graph(seed, steps), "client_id": client, "prompt_id": str(uuid.uuid4())}
            answer = await recorder.ask("POST", "/prompt", {**body, "extra_data": extra})
            return answer["prompt_id"]

        async with session.ws_connect(f"/ws?clientId={client}") as socket:
            listening = asyncio.create_task(recorder.listen(socket))
            await socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
            await asyncio.sleep(0.5)
            for name in classes:
                await recorder.ask("GET", f"/object_info/{name}")
            told = (await recorder.ask("GET", "/system_stats"))["system"]
            told["argv"] = [argument for argument in told["argv"] if "/" not in argument]
            seen = await prompt(1, 4, preview_method="auto")
            await recorder.until("executing", seen, node=None)
            history = await recorder.ask("GET", f"/history/{seen}")
            (file,) = history[seen]["outputs"]["9"]["images"]
            query = "&".join(
                f"{key}={file[name]}" for key, name in (("filename", "filename"), ("type", "type"))
            )
            await recorder.ask("GET", f"/view?{query}&subfolder={file['subfolder']}")
            unlooked = await prompt(2, 3, preview_method="none")
            await recorder.until("executing", unlooked, node=None)
            first = await prompt(3, 40)
            await recorder.until("progress", first, value=1)
            second, third = await prompt(4, 2), await prompt(5, 2)
            await recorder.ask("POST", "/queue", {"delete": [second]})
            await recorder.ask("POST", "/interrupt", {"prompt_id": third})
            await recorder.ask("GET", "/queue")
            await recorder.ask("POST", "/interrupt", {"prompt_id": first})
            await recorder.until("executing", first, node=None)
            await recorder.until("executing", third, node=None)
            for each in (first, second, third):
                await recorder.ask("GET", f"/history/{each}")
            await recorder.ask("POST", "/history", {"delete": [first, second, third]})
            await recorder.ask("GET", f"/history/{third}")
            listening.cancel()
    path.write_text("".join(json.dumps(line) + "\n" for line in recorder.lines))
