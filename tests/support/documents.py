"""What the documents tell people to type, taken out of them, and a shell that types it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.e2e_cli import NEXUS, as_installed
from support.house_copy import ROOT
from support.lan import Machine
from support.waiting import eventually

__all__ = ["LANGUAGES", "PAGES", "Block", "Reader", "Step", "blocks", "fits", "reading"]

PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
LANGUAGES = {"sh", "console", "python", "toml", "json", "text"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "-- status"
BOUND = 60.0
RUN_COMMANDS = f'make() {{ command make --no-print-directory -C {ROOT} "$@"; }}\n'
"""The reader is in an empty folder, the checkout is elsewhere."""


@dataclass(frozen=True)
class Step:
    """A command, over several lines perhaps, and what the page shows of it; None where it shows nothing."""

    command: str
    shown: str | None = None


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    @property
    def steps(self) -> list[Step]:
        """Of a shell block: its commands. A `console` has them behind `$ `, and what they print below."""
        if self.language == "console":
            parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
            assert parts[0] == "", f"{self.page}:{self.line}: begins with what no command has printed"
            return [Step(*_command_and_rest(part)) for part in parts[1:]]
        assert self.language == "sh"
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [Step(line) for line in lines if line and not line.startswith("#")]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in FENCE.finditer(text)
    ]


def fits(shown: str, printed: str) -> bool:
    """`...` in what is shown stands for anything on its line; alone on a line for any lines, or none."""
    pattern = ""
    for line in shown.rstrip("\n").splitlines():
        if line == "...":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.split("...")) + r"[ ]*\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None


def _command_and_rest(part: str) -> tuple[str, str]:
    """A line that ends in a backslash goes on in the next."""
    found = re.match(r"(?:[^\n]*\\\n)*[^\n]*\n", part)
    assert found
    return re.sub(r"\\\n\s*", "", found[0]).strip(), part[found.end() :]


@dataclass
class Reader:
    """Somebody at a machine, in an empty folder and an empty home, with the command on the path."""

    machine: Machine
    folder: Path
    shell: asyncio.subprocess.Process
    typed: int = 0
    staying: list[tuple[asyncio.subprocess.Process, Path]] = field(default_factory=list)

    async def type(self, command: str, given: str = "") -> tuple[int, str]:
        """Runs it in the shell, which remembers variables; status, and what stands on the screen then."""
        self.typed += 1
        script = self._file("command", RUN_COMMANDS + command + "\n")
        stdin = self._file("given", given)
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f". {script} < {stdin}; printf '\\n%s %d\\n' '{MARK}' $?\n".encode())
        screen = ""
        async with asyncio.timeout(BOUND):
            while not (found := re.search(rf"\n{MARK} (\d+)\n$", screen)):
                line = await self.shell.stdout.readline()
                assert line, f"the shell ended: {screen}"
                screen += line.decode()
        return int(found[1]), screen[: found.start()]

    async def type_and_leave(self, command: str, given: str, until: str) -> str:
        """Of a command that stays: what stands on the screen once `until` does."""
        self.typed += 1
        screen = self._file("screen", "")
        with screen.open("wb") as out, self._file("given", given).open() as stdin:
            process = await asyncio.create_subprocess_exec(
                *self.machine.via, "bash", "-c", RUN_COMMANDS + command, cwd=self.folder / "empty",
                env=self.environment(), stdin=stdin, stdout=out,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.staying.append((process, screen))
        told = screen.read_text

        def there() -> bool:
            assert process.returncode is None, told()
            return until in told()

        await eventually(there, timeout=BOUND)
        return told()

    async def ctrl_c(self) -> None:
        """To every command that stays, as a terminal does: to all processes of it. They must end."""
        while self.staying:
            process, screen = self.staying.pop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            async with asyncio.timeout(BOUND):
                await process.wait()
            assert "Traceback" not in screen.read_text()

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(NEXUS.parent), os.path.dirname(sys.executable), os.defpath])
        return as_installed(self.folder / "home") | {"PATH": path}

    def _file(self, kind: str, text: str) -> Path:
        path = self.folder / f"{self.typed}.{kind}"
        path.write_text(text)
        return path


@asynccontextmanager
async def reading(machine: Machine, folder: Path) -> AsyncIterator[Reader]:
    for name in ("home", "empty"):
        (folder / name).mkdir(parents=True)
    reader = Reader(machine, folder, None)  # type: ignore[arg-type]
    reader.shell = await asyncio.create_subprocess_exec(
        *machine.via, "bash", "--noprofile", "--norc", cwd=folder / "empty", env=reader.environment(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )  # fmt: skip
    try:
        yield reader
    finally:
        await reader.ctrl_c()
        await reader.shell.communicate(b"")
