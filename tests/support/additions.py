"""What a stranger adds by AGENTS.md: each as the texts he writes, and the part of the suite that looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ADDITIONS", "Addition", "Part"]

ADAPTERS = "services/inference-adapters/src/nexus_inference_adapters"
GATEWAY = "services/gateway/src/nexus_gateway"


@dataclass(frozen=True, slots=True)
class Part:
    """`text` put before `before` in a file, or a whole new file. `run`: what is run instead, or after it."""

    file: str = ""
    text: str = ""
    before: str = ""
    run: tuple[str, ...] = ()

    def write(self, root: Path) -> None:
        path = root / self.file
        if self.before:
            old = path.read_text()
            assert old.count(self.before) == 1, f"{self.file} has no single {self.before!r}"
            path.write_text(old.replace(self.before, self.text + self.before))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text)


@dataclass(frozen=True, slots=True)
class Addition:
    """`row`: its name in AGENTS.md. `suite`: commands for Python, all of which pass. `needed`: parts without any of
    which one of them fails."""

    row: str
    parts: dict[str, Part]
    suite: tuple[tuple[str, ...], ...]
    needed: tuple[str, ...]


def pytest_of(*targets: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *targets)


SETTINGS = ("tools/settings.py",)
HTTP_PAGE = ("tools/http_page.py",)
PROTOS = ("tools/protos.py",)

STAGE = Addition(
    "a routing rule",
    {
        "stage": Part(
            "libs/routing/src/nexus_routing/stages.py",
            "def _is_no_toy(case: Case) -> str | None:\n"
            '    return "is a toy" if case.target.kind == "toy" else None\n\n\n',
            "STAGES: tuple[Stage, ...] = (",
        ),
        "place": Part(
            "libs/routing/src/nexus_routing/stages.py",
            '    Stage("toys", _is_no_toy, On.TABLE),\n',
            '    _noted("reachable", ',
        ),
        "scene": Part(
            "tests/unit/routing/test_stages.py",
            '    "toys": Scene(replace(BAD, kind="toy")),\n',
            '    "reachable": Scene(',
        ),
    },
    (pytest_of("tests/unit/routing/test_stages.py", "-k", "scene or alone"),),
    ("place", "scene"),
)

SETTING = Addition(
    "a setting",
    {
        "field": Part(
            "services/registry/src/nexus_registry/config.py",
            '    rows_shown: int = Field(100, ge=1, description="Rows of a page, if nobody says.")\n',
            "    advertise_host: str = ",
        ),
        "docs": Part(run=SETTINGS),
        "test": Part(
            "tests/unit/registry/test_rows_shown.py",
            "from nexus_registry.config import RegistrySettings\n\n\n"
            "def test_it_is_read() -> None:\n"
            '    assert RegistrySettings.model_validate({"rows_shown": 7}).rows_shown == 7\n',
        ),
    },
    (
        (*SETTINGS, "--check"),
        pytest_of("tests/unit/registry/test_rows_shown.py", "tests/contract/test_roles.py"),
    ),
    ("field", "docs"),
)

SERVICE_CONFIG = '''"""Settings of the echo."""

from nexus_mesh.settings import ServiceSettings, service_config
from pydantic import Field


class EchoSettings(ServiceSettings):
    """Table [echo] of nexus.toml."""

    model_config = service_config("echo")

    port: int = Field(7490, ge=0, le=65535, description="Port of the gRPC server; 0 = any free one.")
'''
SERVICE_APP = '''"""Opens the echo."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus_mesh.process import Mesh, Servicer

from nexus_echo.config import EchoSettings


@asynccontextmanager
async def open_echo(mesh: Mesh[EchoSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Serves what every service does."""
    yield []
'''
SERVICE_MAIN = '''"""Starts the echo."""

import sys

from nexus_mesh.process import run

from nexus_echo.app import open_echo
from nexus_echo.config import EchoSettings

if __name__ == "__main__":
    sys.exit(run("echo", EchoSettings, open_echo))
'''
SERVICE_PROJECT = """[project]
name = "nexus-echo"
version = "0.1.0+mesh"
requires-python = ">=3.11"
classifiers = ["Private :: Do Not Upload"]
dependencies = ["nexus-mesh==0.1.0+mesh"]

[tool.uv.sources]
nexus-mesh = { workspace = true }

[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"
"""
ECHO = "services/echo/src/nexus_echo"
SERVICE = Addition(
    "a service",
    {
        "project": Part("services/echo/pyproject.toml", SERVICE_PROJECT),
        "face": Part(f"{ECHO}/__init__.py", '"""Says again what it hears."""\n'),
        "config": Part(f"{ECHO}/config.py", SERVICE_CONFIG),
        "app": Part(f"{ECHO}/app.py", SERVICE_APP),
        "main": Part(f"{ECHO}/__main__.py", SERVICE_MAIN),
        "row": Part(
            "libs/mesh/src/nexus_mesh/identity/roles.py",
            '    "echo": Role("nexus_echo", "EchoSettings", {"echo": 7490}),\n',
            '    "operator": Role(',
        ),
        "docs": Part(run=SETTINGS),
        "test": Part(
            "tests/contract/test_echo.py",
            "import importlib\n\n"
            "from nexus_mesh.identity import ROLE_TABLE\n\n\n"
            "def test_it_can_be_started() -> None:\n"
            "    importlib.import_module(f\"{ROLE_TABLE['echo'].module}.__main__\")\n",
        ),
    },
    ((*SETTINGS, "--check"), pytest_of("tests/contract/test_echo.py", "tests/contract/test_roles.py")),
    ("config", "row"),
)

ENDPOINT = Addition(
    "an endpoint",
    {
        "handler": Part(
            f"{GATEWAY}/dialects/nexus/greeting.py",
            '"""GET greeting."""\n\nfrom nexus_gateway.http import Call, Content, Exchange\n\n'
            'GREETING = (Call("GET", "A greeting.", (Content({"type": "object"}, {"greeting": "hello"}),)),)\n\n\n'
            "async def greet(exchange: Exchange) -> None:\n"
            '    await exchange.respond(200, b\'{"greeting":"hello"}\')\n',
        ),
        "import": Part(
            f"{GATEWAY}/dialects/nexus/__init__.py",
            "from nexus_gateway.dialects.nexus.greeting import GREETING, greet\n",
            "from nexus_gateway.dialects.nexus.health import ",
        ),
        "row": Part(
            f"{GATEWAY}/dialects/nexus/__init__.py",
            '        Row("greeting", "/greeting", reading(greet), calls=GREETING),\n',
            '        Row("explain", "/route/explain"',
        ),
        "page": Part(run=HTTP_PAGE),
        "test": Part(
            "tests/integration/gateway_http/test_greeting.py",
            "from support.edge_server import running_edge\n"
            "from support.raw_http import ask, request\n\n\n"
            "async def test_it_greets() -> None:\n"
            "    async with running_edge() as edge:\n"
            '        answer = await ask(edge.port, request("GET", "/v1/greeting"))\n'
            '        assert (answer.status, answer.json) == (200, {"greeting": "hello"})\n',
        ),
    },
    (
        (*HTTP_PAGE, "--check"),
        pytest_of(
            "tests/integration/gateway_http/test_greeting.py",
            "tests/contract/test_rooms.py",
            "tests/contract/test_http_page.py",
            "tests/unit/gateway/test_openapi.py",
        ),
    ),
    ("handler", "row", "page"),
)

KIND = Addition(
    "a backend kind",
    {
        "file": Part(
            f"{ADAPTERS}/kinds/parrot.py",
            '"""The adapter for parrots, which speak OpenAI\'s API."""\n\n'
            "from typing import ClassVar\n\n"
            "from nexus_inference_adapters.openai import OpenAICompatible\n\n"
            '__all__ = ["Parrot"]\n\n\n'
            "class Parrot(OpenAICompatible):\n"
            '    """Says what it is told."""\n\n'
            '    kind: ClassVar[str] = "parrot"\n',
        ),
        "import": Part(
            f"{ADAPTERS}/kinds/__init__.py",
            "from nexus_inference_adapters.kinds.parrot import Parrot\n",
            "from nexus_inference_adapters.openai import OpenAICompatible",
        ),
        "line": Part(f"{ADAPTERS}/kinds/__init__.py", "    Parrot,\n", "    OpenAICompatible,\n"),
        "docs": Part(run=SETTINGS),
        "test": Part(
            "tests/unit/adapters/test_parrot.py",
            "from nexus_inference_adapters.config import AdapterSettings\n\n"
            'PARROT = {"name": "p", "kind": "parrot", "url": "http://127.0.0.1:9"}\n\n\n'
            "def test_the_settings_take_one() -> None:\n"
            '    assert AdapterSettings.model_validate({"backends": [PARROT]}).backends[0].kind == "parrot"\n',
        ),
    },
    (
        (*SETTINGS, "--check"),
        pytest_of("tests/unit/adapters/test_parrot.py", "tests/unit/adapters/test_config.py"),
    ),
    ("line",),
)

TABLE = "libs/operations/src/nexus_operations/table.py"
OPERATION = Addition(
    "an operation",
    {
        "number": Part(
            "protos/nexus/types/v1/model.proto",
            "  // Texts in the order of what they have to do with a question.\n  OPERATION_RANKING = 90;\n",
            "}\n\n// What a model on a backend can do beyond the operation itself.",
        ),
        "generated": Part(run=PROTOS),
        "member": Part(TABLE, "    RANKING = model_pb2.OPERATION_RANKING\n", "\n\nTOKENS = frozenset("),
        "spec": Part(
            TABLE,
            'RANKING = Spec(\n    number=Operation.RANKING,\n    name="ranking",\n    title="a ranking",\n'
            '    path="/ranking",\n    shape=Shape.WHOLE,\n    form=Form.OBJECT,\n    rows="results",\n'
            '    id_prefix="",\n    object="list",\n    chunk_object="",\n    content="documents",\n'
            "    files=NO_FILES,\n"
            '    inputs=frozenset({"documents", "query"}),\n'
            '    read=read_texts("documents", "query"),\n    head=lambda _: "",\n    most=nothing_made,\n'
            '    expected=lambda body: prompts_in(body.get("documents")),\n    has_content=whole_is_content,\n'
            "    resumable=False,\n    scrubbable=True,\n    units=frozenset({Unit.PROMPT_TOKENS}),\n"
            '    example=lambda text: {"documents": [text], "query": "q"},\n)\n\n',
            "SPECS: Mapping[int, Spec] = ",
        ),
        "place": Part(TABLE, "        RANKING,\n", "        CHAT,\n        COMPLETION,\n"),
    },
    (
        (*PROTOS, "--check"),
        pytest_of(
            "tests/unit/operations", "tests/unit/routing/test_vocabulary.py", "-k", "not known_of_each"
        ),
    ),
    ("spec", "place"),
)

ADDITIONS = {
    "stage": STAGE,
    "kind": KIND,
    "operation": OPERATION,
    "endpoint": ENDPOINT,
    "setting": SETTING,
    "service": SERVICE,
}
