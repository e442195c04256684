"""Runs podman and podman-compose, each call bounded in time, with a configuration that suits this machine."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["REPOSITORY", "CommandFailed", "Podman", "configured"]

REPOSITORY = Path(__file__).parents[2]
PODMAN_COMPOSE = "podman-compose==1.6.0"
MOST_FILES, MOST_PROCESSES = 20_000, 32_768  # containers cannot get more than we may have ourselves
TAIL = 25


class CommandFailed(Exception):
    """A program ended with an error or took too long."""

    def __init__(self, command: Sequence[str], why: str, output: str) -> None:
        tail = "\n".join(f"    {line}" for line in output.splitlines()[-TAIL:])
        super().__init__(f"`{' '.join(command[:6])} ...` {why}:\n{tail}")


class Podman:
    """podman with a given environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def run(self, *arguments: str, timeout: float = 30.0) -> str:
        """What podman printed. Raises CommandFailed."""
        return self.command(["podman", *arguments], timeout=timeout)

    def succeeds(self, *arguments: str, timeout: float = 30.0) -> bool:
        try:
            self.run(*arguments, timeout=timeout)
        except CommandFailed:
            return False
        return True

    def compose(
        self, project: str, *arguments: str, options: Mapping[str, str], build: str = "", timeout: float
    ) -> str:
        """podman-compose on compose/compose.yaml; `options` are the variables that file asks for."""
        uv = REPOSITORY / ".tools" / "bin" / "uv"
        file = REPOSITORY / "compose" / "compose.yaml"
        tool = [str(uv), "tool", "run", "--quiet", "--from", PODMAN_COMPOSE, "podman-compose"]
        flags = ["--project-name", project, "--file", str(file), "--in-pod=false"]
        flags += [f"--podman-build-args={build}", "--parallel=1"] if build else []
        return self.command([*tool, *flags, *arguments], timeout=timeout, extra=options)

    def command(
        self, command: Sequence[str], *, timeout: float, extra: Mapping[str, str] | None = None
    ) -> str:
        environment = self._environment | dict(extra or {})
        # A file, not a pipe: a container's monitor keeps what it inherits open for as long as it runs.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment
            ) as process:
                try:
                    code = process.wait(timeout)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = None
            output.seek(0)
            errors.seek(0)
            printed = output.read()
            if code != 0:
                why = f"took more than {timeout:g} s" if code is None else f"ended with {code}"
                raise CommandFailed(command, why, printed + errors.read())
        return printed


@contextmanager
def configured() -> Iterator[Podman]:
    """A podman that works with or without systemd, and within the limits this process has."""
    with tempfile.TemporaryDirectory(prefix="nexus-podman-") as folder:
        path = Path(folder) / "containers.conf"
        path.write_text(_configuration())
        yield Podman(os.environ | {"CONTAINERS_CONF": str(path)})


def _configuration() -> str:
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], MOST_FILES)
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**63, MOST_PROCESSES)
    lines = [
        "[containers]",
        f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]',
        'log_driver = "k8s-file"',
        "[network]",
        'network_backend = "netavark"',
        "[engine]",
        f'runtime = "{"crun" if shutil.which("crun") else "runc"}"',
    ]
    if not Path("/run/systemd/system").exists():
        lines += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    return "\n".join(lines) + "\n"
