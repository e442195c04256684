"""Child processes end when told to, and say why when they end too soon."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
import support.processes as processes
from support.waiting import eventually

SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


async def test_stop_reaps_and_keeps_the_log(tmp_path: Path) -> None:
    child = processes.start(SLEEPER, tmp_path / "log")
    await eventually(lambda: "ready" in child.output())

    assert child.stop() == -signal.SIGTERM
    assert child.stop() == -signal.SIGTERM
    assert not psutil.pid_exists(child.pid)


def test_kill_leaves_no_zombie_and_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    child = processes.start(SLEEPER, tmp_path / "log")
    assert child.kill() == -signal.SIGKILL

    assert not psutil.pid_exists(child.pid)
    assert len(os.listdir("/proc/self/fd")) == before


def test_environment_does_not_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    child = processes.start([sys.executable, "-c", "import os; print(dict(os.environ))"], tmp_path / "log")

    assert child.process.wait(10) == 0
    assert "s3cret" not in child.output()


def test_waiting_for_a_dead_child_shows_its_log(tmp_path: Path) -> None:
    child = processes.start([sys.executable, "-c", "raise SystemExit('no model')"], tmp_path / "log")

    with pytest.raises(RuntimeError, match="no model"):
        processes.wait_http(f"http://127.0.0.1:{processes.free_port()}", child)


def test_waiting_is_bounded() -> None:
    with pytest.raises(TimeoutError):
        processes.wait_http(f"http://127.0.0.1:{processes.free_port()}", timeout=0.1)
