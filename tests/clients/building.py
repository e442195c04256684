"""Generates the contract for a language with plain protoc and builds its client, all below .tools/clients."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc_tools

__all__ = ["BUILDS", "PLACE", "ROOT", "BuildFailed", "Built", "need", "perform"]

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
SOURCES = Path(__file__).parent
PLACE = ROOT / ".tools" / "clients"
GO_PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
OF_PYTHON = (sys.executable, "-m", "grpc_tools.protoc")
PROTOC = "4.35.1"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
CLASSIFIERS = {
    ("linux", "x86_64"): "linux-x86_64",
    ("linux", "aarch64"): "linux-aarch_64",
    ("darwin", "x86_64"): "osx-x86_64",
    ("darwin", "arm64"): "osx-aarch_64",
}
SECONDS = 900


class BuildFailed(Exception):
    """What is missing or went wrong, for people."""


@dataclass(frozen=True, slots=True)
class Built:
    """A client that can be run."""

    command: tuple[str, ...]


def _go() -> Built:
    need("go", "Go 1.24 or newer (https://go.dev/dl, or golang-go on Debian)")
    place, plugins = _fresh("go"), PLACE / "bin"
    for plugin in GO_PLUGINS:
        if not (plugins / plugin.rpartition("/")[2].partition("@")[0]).exists():
            perform(("go", "install", plugin), SOURCES, {"GOBIN": str(plugins)})
    flags: list[str] = []
    for kind in ("go", "go-grpc"):
        flags += [f"--{kind}_out={place}", f"--{kind}_opt=module=nexus.internal"]
    _protoc(*flags, path=plugins)
    perform(("go", "build", "-mod=mod", "-o", "client", "."), place, {"GOFLAGS": "-buildvcs=false"})
    return Built((str(place / "client"),))


def _java() -> Built:
    need("javac", "a JDK 17 or newer (default-jdk-headless on Debian)")
    need("mvn", "Maven 3.8 or newer (maven on Debian)")
    place = _fresh("java")
    _protoc(f"--java_out={place / 'src'}", protoc=_protoc_of_maven())
    perform(("mvn", "--batch-mode", "--quiet", "compile"), place)
    jars = (str(place / "target" / "classes"), str(place / "target" / "dependency" / "*"))
    return Built(("java", "-cp", os.pathsep.join(jars), "internal.nexus.client.Client"))


BUILDS: Mapping[str, Callable[[], Built]] = {"go": _go, "java": _java}


def need(command: str, what: str) -> None:
    if shutil.which(command) is None:
        raise BuildFailed(f"{command} is not on the PATH. Install {what}.")


def _fresh(language: str) -> Path:
    place = PLACE / language
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(SOURCES / language, place))


def _protoc_of_maven() -> tuple[str, ...]:
    """The one that writes Java, which Python's lacks; of the version of the runtime in pom.xml."""
    machine = (platform.system().lower(), platform.machine().lower())
    if machine not in CLASSIFIERS:
        raise BuildFailed(f"There is no protoc for {' '.join(machine)} among Maven's.")
    name = f"protoc-{PROTOC}-{CLASSIFIERS[machine]}.exe"
    binary = PLACE / "bin" / name
    if not binary.exists():
        artifact = f"com.google.protobuf:protoc:{PROTOC}:exe:{CLASSIFIERS[machine]}"
        wanted = (f"-Dartifact={artifact}", f"-DoutputDirectory={binary.parent}")
        perform(("mvn", "--batch-mode", "--quiet", COPY, *wanted), SOURCES)
        binary.chmod(0o755)
    return (str(binary), f"-I{Path(grpc_tools.__file__).parent / '_proto'}")


def _protoc(*outputs: str, path: Path | None = None, protoc: tuple[str, ...] = OF_PYTHON) -> None:
    """No flag names a file or a package: what other languages need stands in the files."""
    files = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    environment = {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} if path else {}
    perform((*protoc, f"-I{PROTOS}", *outputs, *files), PROTOS, environment)


def perform(command: tuple[str, ...], place: Path, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        told = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise BuildFailed(f"`{' '.join(command[:4])} ...` ended with {done.returncode}:\n{told}")
