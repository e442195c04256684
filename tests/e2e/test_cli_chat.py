"""`nexus chat` on a terminal: a conversation of several turns that Ctrl-C does not end, and Ctrl-D does."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_cli import NEXUS, environment
from support.e2e_mesh import serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CTRL_C, CTRL_D = "\x03", "\x04"
PROMPT = "> "
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Conversation:
    """`nexus chat` at a terminal of its own. `shown` is what stood on it so far, without colours."""

    process: asyncio.subprocess.Process
    terminal: int
    raw: bytearray = field(default_factory=bytearray)
    read: int = 0

    @property
    def shown(self) -> str:
        return ESCAPES.sub("", self.raw.decode(errors="replace")).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    async def until(self, words: str) -> str:
        """What came since the last wait, up to and with these words."""
        await eventually(lambda: words in self.shown[self.read :], timeout=30, what=f"{words!r} shown")
        start, self.read = self.read, self.shown.index(words, self.read) + len(words)
        return self.shown[start : self.read]

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(30):
            return await self.process.wait()

    async def asked(self, line: str) -> str:
        """Types a line, and gives what is shown until the next prompt."""
        self.type(f"{line}\n")
        await self.until("\n")  # the terminal's echo
        return await self.until(f"\n{PROMPT}")


@asynccontextmanager
async def chatting(home: Path, *arguments: str) -> AsyncIterator[Conversation]:
    """At its first prompt."""
    terminal, its_end = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        NEXUS, "chat", "--home", home, *arguments, env=environment(home), start_new_session=True,
        stdin=its_end, stdout=its_end, stderr=its_end, preexec_fn=_own_terminal,
    )  # fmt: skip
    os.close(its_end)
    talk = Conversation(process, terminal)
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, _take, talk, loop)
    try:
        await talk.until(PROMPT)
        yield talk
    finally:
        loop.remove_reader(terminal)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(terminal)


def _own_terminal() -> None:
    """So that Ctrl-C at the terminal reaches it, as in a shell."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _take(talk: Conversation, loop: asyncio.AbstractEventLoop) -> None:
    try:
        talk.raw += os.read(talk.terminal, 65536)
    except OSError:  # nobody is at the other end any more
        loop.remove_reader(talk.terminal)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("fake-model", "other-model") as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    folder, config = tmp_path_factory.mktemp("chat"), backend("box", fake.url)
    async with serving(folder, config, "fake-model", "other-model") as mesh:
        yield mesh


@pytest.fixture
def home(mesh: LiveMesh, fake: FakeOpenAI) -> Path:
    fake.model_modes.clear()
    fake.requests.clear()
    return mesh.layout.home


def said(fake: FakeOpenAI) -> list[tuple[str, str]]:
    """(role, text) of the messages of the last request."""
    return [(one["role"], one["content"]) for one in fake.calls[-1].body["messages"]]


async def test_a_turn_stands_on_the_turns_before(home: Path, fake: FakeOpenAI) -> None:
    async with chatting(home, "-m", "fake-model", "--system", "Be short.") as talk:
        first = (await talk.asked("one")).removesuffix(f"\n{PROMPT}")
        assert first.strip()
        await talk.asked("two")
        assert said(fake) == [
            ("system", "Be short."),
            ("user", "one"),
            ("assistant", first.strip("\n")),
            ("user", "two"),
        ]
        talk.type("/clear\n")
        await talk.until(PROMPT)
        await talk.asked("three")
        assert said(fake) == [("system", "Be short."), ("user", "three")]
        talk.type(CTRL_D)
        assert await talk.ended() == 0
    assert "Traceback" not in talk.shown


async def test_ctrl_c_stops_the_answer_and_not_the_chat(home: Path, fake: FakeOpenAI) -> None:
    fake.model_modes["fake-model"] = modes.stall_after(3)
    async with chatting(home, "-m", "fake-model") as talk:
        talk.type("one\n")
        await eventually(lambda: fake.calls and fake.calls[-1].tokens_sent >= 3, timeout=30)
        talk.type(CTRL_C)
        await talk.until("Stopped.")
        await talk.until(PROMPT)
        await eventually(
            lambda: fake.calls[-1].cancelled, timeout=30, what="the end of the answer at its engine"
        )
        fake.model_modes.clear()
        assert (await talk.asked("two")).strip(f"\n{PROMPT}")
        assert said(fake) == [("user", "two")], "what was stopped is forgotten"
        talk.type(CTRL_C)
        assert await talk.ended() == 0, "at the prompt it ends the chat"
    assert "Traceback" not in talk.shown


async def test_ctrl_c_stops_the_wait_for_a_first_word(home: Path, fake: FakeOpenAI) -> None:
    fake.model_modes["fake-model"] = modes.slow_first_token(3600)
    async with chatting(home, "-m", "fake-model") as talk:
        talk.type("one\n")
        await eventually(lambda: fake.calls, timeout=30, what="the question at its engine")
        talk.type(CTRL_C)
        await talk.until("Stopped.")
        await talk.until(PROMPT)
        await eventually(lambda: fake.calls[-1].cancelled, timeout=30, what="the end of the wait there")
        talk.type(CTRL_D)
        assert await talk.ended() == 0


async def test_another_model_is_asked_from_then_on(home: Path, fake: FakeOpenAI) -> None:
    async with chatting(home, "-m", "fake-model") as talk:
        talk.type("/model other-modle\n")
        assert "Did you mean 'other-model'?" in await talk.until(f"\n{PROMPT}")
        talk.type("/model other-model\n")
        await talk.until(PROMPT)
        await talk.asked("one")
        assert fake.calls[-1].body["model"] == "other-model"
        talk.type("/what\n")
        assert "/clear forgets" in await talk.until(f"\n{PROMPT}")
        talk.type("/bye\n")
        assert await talk.ended() == 0


async def test_a_failure_is_told_and_the_chat_goes_on(home: Path, fake: FakeOpenAI) -> None:
    fake.model_modes["fake-model"] = modes.error(400)
    async with chatting(home, "-m", "fake-model") as talk:
        await talk.asked("one")
        fake.model_modes.clear()
        await talk.asked("two")
        assert said(fake) == [("user", "two")]
        talk.type(CTRL_D)
        assert await talk.ended() == 0
