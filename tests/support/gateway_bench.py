"""A gateway's pipeline among scripted adapters, router and vault: all real gRPC over mTLS, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.app import build_pipeline
from nexus_gateway.config import GatewaySettings
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.pipeline.pipeline import Pipeline
from nexus_mesh.process.mesh import Mesh
from support.ca import MeshCA
from support.scripted_adapter import ScriptedAdapter, serve_adapter, text_of
from support.scripted_control import Control, serve_control
from support.waiting import eventually

__all__ = ["GatewayBench", "chat", "open_bench", "read_all"]


class GatewayBench:
    """Everything of one test. `pipeline` exists after start()."""

    def __init__(self, ca: MeshCA, control: Control, home: Path, stack: AsyncExitStack) -> None:
        self.ca = ca
        self.control = control
        self.home = home
        self.pipeline: Pipeline
        self.mesh: Mesh[GatewaySettings]
        self.boxes: list[ScriptedAdapter] = []
        self._stack = stack

    async def adapter(self, name: str, zone: str = "default") -> ScriptedAdapter:
        """A new running adapter, not yet in any snapshot."""
        identity = self.ca.identity("adapter", name, zone=zone)
        box = await self._stack.enter_async_context(serve_adapter(identity))
        self.boxes.append(box)
        return box

    def settings(self, **changes: Any) -> GatewaySettings:
        ports = self.control.ports
        common: dict[str, Any] = {
            "home": self.home,
            "router": f"127.0.0.1:{ports['router']}",
            "vault": f"127.0.0.1:{ports['vault']}",
            "registry": f"127.0.0.1:{ports['registry']}",
            "http_port": 0,
        }
        return GatewaySettings(**{**common, **changes})

    async def start(
        self, *targets: snapshot_pb2.Target, policy: dict[str, Any] | None = None, **changes: Any
    ) -> None:
        """Starts the pipeline; with targets, waits until it knows them. `policy`: other fields of the snapshot."""
        self.mesh = await self._stack.enter_async_context(
            Mesh(self.settings(**changes), self.ca.identity("gateway"))
        )
        self.pipeline = build_pipeline(self.mesh)
        if targets:
            self.control.router.show(*targets, **(policy or {}))
            await eventually(
                lambda: self.pipeline.readiness().missing[:1] != [NO_SNAPSHOT], what="first snapshot"
            )

    async def asked(self, credential: str | None = None, **changes: Any) -> InferenceRequest:
        """A chat of whoever has the credential, as a door makes it. Raises MeshError."""
        if "principal" not in changes:
            changes["principal"] = await self.pipeline.authenticate(credential)
        return chat(**changes)

    async def ask(self, **changes: Any) -> inference_pb2.CompleteResponse:
        return await self.pipeline.complete(await self.asked(**changes))

    async def count(self, **changes: Any) -> inference_pb2.CountTokensResponse:
        return await self.pipeline.count(await self.asked(**changes))

    @asynccontextmanager
    async def stream(self, **changes: Any) -> AsyncIterator[AsyncIterator[inference_pb2.StreamResponse]]:
        """The messages of a streamed answer."""
        async with self.pipeline.stream(await self.asked(stream=True, **changes)) as messages:
            yield messages

    async def until_newer(self, snapshot: snapshot_pb2.Snapshot | None) -> None:
        """Waits until the gateway has another snapshot than this one."""
        await eventually(lambda: self.pipeline.table.snapshot is not snapshot, what="a newer snapshot")

    async def ask_stream(self, **changes: Any) -> str:
        """The text of a whole streamed answer."""
        async with self.pipeline.stream(await self.asked(stream=True, **changes)) as messages:
            return await read_all(messages)


NO_SNAPSHOT = "no routing snapshot: the router has not been heard yet"


def chat(
    model: str = "m",
    *,
    stream: bool = False,
    needs: frozenset[int] = frozenset(),
    body: dict[str, Any] | None = None,
    **fields: Any,
) -> InferenceRequest:
    """A checked chat request; `body` adds to the least there can be."""
    return InferenceRequest(
        operation=model_pb2.OPERATION_CHAT,
        model=model,
        body={"model": model, "messages": [{"role": "user", "content": "hi"}], **(body or {})},
        stream=stream,
        include_usage=False,
        needs=needs,
        request_id=fields.pop("request_id", "req_test"),
        principal=fields.pop("principal", ANONYMOUS),
        **fields,
    )


async def read_all(messages: AsyncIterator[inference_pb2.StreamResponse]) -> str:
    return "".join([text_of(message) async for message in messages])


@asynccontextmanager
async def open_bench(home: Path) -> AsyncIterator[GatewayBench]:
    """A bench with a running router and vault."""
    ca = MeshCA()
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(serve_control(ca))
        yield GatewayBench(ca, control, home, stack)
