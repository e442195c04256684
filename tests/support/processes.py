"""Child processes for tests: started with a log file, waited for with a bound, always reaped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ChildProcess:
    """A running child; its stdout and stderr both go to `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the child, for example SIGSTOP and SIGCONT to freeze and thaw it."""
        self.process.send_signal(number)

    def kill(self, timeout: float = 10.0) -> int:
        """`kill -9` and reap; returns the exit code."""
        self.process.kill()
        return self.process.wait(timeout)

    def stop(self, timeout: float = 10.0) -> int:
        """SIGTERM, then SIGKILL after `timeout` seconds; returns the exit code. Safe to call twice."""
        if self.alive:
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()


def start(args: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> ChildProcess:
    """Start `args` with exactly `env` plus PATH: nothing of the test's own environment leaks in."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(arg) for arg in args],
            env={"PATH": os.defpath, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    return ChildProcess(process, log)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_http(url: str, child: ChildProcess | None = None, timeout: float = 30.0) -> None:
    """Block until GET `url` answers 200.

    Raises RuntimeError with the child's log when the child exits first, TimeoutError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not _answers_ok(url):
        if child is not None and not child.alive:
            raise RuntimeError(f"the process ended with {child.process.returncode}:\n{child.output()}")
        if time.monotonic() > deadline:
            log = child.output() if child else ""
            raise TimeoutError(f"{url} did not answer 200 within {timeout} s:\n{log}")
        time.sleep(POLL_SECONDS)


def _answers_ok(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2.0)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
