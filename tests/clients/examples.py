"""Installs the clients of examples/ below .tools/clients, as versions.toml says, and runs what people copy."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clients import open_webui
from clients.building import PLACE, ROOT, need, perform
from support.examples import CHAT, EMBEDDER, FOLDER, Served, clients, run

__all__ = ["EXAMPLES", "Example"]

UV = ROOT / ".tools" / "bin" / "uv"
NODE = "Node 20 or newer with npm (https://nodejs.org, or nodejs and npm on Debian)"
GO = "Go 1.26 or newer (https://go.dev/dl)"


@dataclass(frozen=True, slots=True)
class Example:
    """`install` raises BuildFailed with what is missing; `check` is given the folder that it made."""

    install: Callable[[str], Path]
    check: Callable[[Served, Path], Awaitable[None]]


def _copied(name: str) -> Path:
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(FOLDER / name, place))


def _npm(name: str) -> Path:
    """None of the packages' own scripts is run."""
    need("npm", NODE)
    place = _copied(name)
    exact = [f"{package}@{version}" for package, version in clients()[name].packages.items()]
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--save-exact")
    perform(("npm", "install", *options, *exact), place)
    return place


def _python(name: str) -> Path:
    """An environment of its own: what these need has no place in the project's."""
    place = _copied(name)
    perform((str(UV), "venv", "--quiet", "--python", sys.executable, "venv"), place)
    exact = [f"{package}=={version}" for package, version in clients()[name].packages.items()]
    perform((str(UV), "pip", "install", "--quiet", "--python", "venv/bin/python", *exact), place)
    return place


def _grpcurl(name: str) -> Path:
    need("go", GO)
    ((module, version),) = clients()[name].packages.items()
    place = _copied(name)
    perform(("go", "install", f"{module}/cmd/grpcurl@v{version}"), place, {"GOBIN": str(place / "bin")})
    return place


def _go(name: str) -> Path:
    need("go", GO)
    place = _copied(name)
    perform(("go", "build", "-o", "client", "."), place, {"GOFLAGS": "-buildvcs=false"})
    return place


async def _openai_node(served: Served, place: Path) -> None:
    told = await run(("node", "chat.mjs", CHAT), served.variables, place)
    wanted = ["Titan.", "[box: capability-match]", "1 2 3 4 5", "add(2, 40) = 42", "It is 42."]
    assert told.splitlines() == wanted, told
    made = await run(("node", "media.mjs", str(place)), served.variables, place)
    looks = ["image_generation.partial_image", "image_generation.completed"]
    assert made.splitlines() == ["circle.png: PNG", *looks, "edited: PNG", "hello.wav: RIFF"], made


async def _openai_go(served: Served, place: Path) -> None:
    told = await run((place / "client", CHAT), served.variables)
    assert told.splitlines() == ["Titan.", "[box: capability-match]", "1 2 3 4 5"], told


async def _langchain(served: Served, place: Path) -> None:
    variables = {"OPENAI_API_BASE": served.mesh.base_url, "OPENAI_API_KEY": served.key}
    told = await run(("venv/bin/python", "chat.py", CHAT, EMBEDDER), variables, place)
    assert told.splitlines() == ["Titan.", "1 2 3 4 5", "add: 42.0", "It is 42.", "8 dimensions"], told


async def _continue(served: Served, place: Path) -> None:
    config = (place / "config.yaml").read_text()
    ours = {
        "http://127.0.0.1:8080/v1": served.mesh.base_url,
        "llama3.1:8b": CHAT,
        "qwen2.5-coder:1.5b": CHAT,
        "all-minilm": EMBEDDER,
    }
    for old, new in ours.items():
        assert old in config, old
        config = config.replace(old, new)
    (place / "config.yaml").write_text(config)
    shutil.copy(Path(__file__).parent / "asking.mjs", place)
    with tempfile.TemporaryDirectory(prefix="nexus-continue-") as home:
        told = json.loads(
            await run(("node", "asking.mjs", "config.yaml"), {"HOME": home, "NEXUS_KEY": served.key}, place)
        )
        roles = {"chat": "1 2 3 4 5", "autocomplete": "Titan.", "embed": "8 dimensions"}
        assert told == {"faults": [], "told": roles}, told
        settings = Path(home) / ".continue"
        settings.mkdir()
        (settings / ".env").write_text(f"NEXUS_KEY={served.key}\n")
        command = ("node_modules/.bin/cn", "-p", "Name one moon of Saturn.", "--config", "config.yaml")
        answer = await run(command, {"HOME": home}, place)
        assert answer.strip() == "Titan.", answer


async def _grpcurl_asks(served: Served, place: Path) -> None:
    home = served.mesh.layout.home
    gateway = json.loads((home / "run" / "mesh.json").read_text())["control"]["gateway"]
    search = f"{place / 'bin'}:/usr/bin:/bin"
    told = await run(
        ("./ask.sh", CHAT, gateway), {"PATH": search, "HOME": str(home), "NEXUS_HOME": str(home)}, place
    )
    for piece in ("nexus.inference.v1.InferenceService.Stream", '\\"content\\":\\"Titan.\\"', '"finish"'):
        assert piece in told, (piece, told)


EXAMPLES: Mapping[str, Example] = {
    "openai-node": Example(_npm, _openai_node),
    "openai-go": Example(_go, _openai_go),
    "langchain": Example(_python, _langchain),
    "continue": Example(_npm, _continue),
    "open-webui": Example(_python, open_webui.check),
    "grpcurl": Example(_grpcurl, _grpcurl_asks),
}
