"""`nexus up --detach`, `stop`, `restart`: a mesh that runs without a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nexus_mesh.core import write_private

from nexus_cli import logs
from nexus_cli.layout import Layout
from nexus_cli.output import CONFIG_EXIT, Failure, advise, console, on_terminal, print_json

__all__ = ["detach", "remember", "restart", "stop"]

LOOK_SECONDS = 0.1
STOP_SECONDS = 90.0
"""Running requests may take their time (drain_grace), one service after the other."""
LAST_LINES = 200


def remember(layout: Layout, arguments: Sequence[str], variables: Sequence[str]) -> None:
    """How this mesh was started, for a restart. No secret is ever an argument of ours; `variables` are names."""
    told = {"arguments": _own(arguments), "folder": str(Path.cwd()), "variables": list(variables)}
    write_private(_started(layout), json.dumps(told).encode())


def detach(layout: Layout, arguments: Sequence[str], *, as_json: bool, folder: Path | None = None) -> None:
    """Starts `nexus ARGUMENTS` in a session of its own, and returns when it is ready. Raises Failure if it ends."""
    layout.prepare()
    if (pid := layout.holder()) is not None:
        raise Failure(
            f"NEXUS already runs from {layout.home} (process {pid}).",
            "Look at it with `nexus status`, stop it with `nexus stop`.",
        )
    log = layout.log("up")
    logs.cap(log)
    command = [sys.executable, "-m", "nexus_cli", *_own(arguments), "--home", str(layout.home), "--json"]
    with log.open("ab") as out:
        at = out.tell()
        process = subprocess.Popen(  # noqa: S603 - ourselves, with what the user gave us
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=folder
        )
    if on_terminal() and not as_json:
        advise("Starting. Ctrl-C gives it up.")
    try:
        told = _until_told(process, log, at)
    except KeyboardInterrupt:
        process.terminate()
        process.wait(STOP_SECONDS)
        raise
    if as_json:
        print_json({**told, "process": process.pid})
        return
    models = ", ".join(str(model["id"]) for model in told["models"]) or "none yet"
    console.print(f"NEXUS is ready.\n\n  Endpoint  {told['endpoint']}\n  Models    {models}\n")
    console.print("  nexus chat talks to it, nexus logs -f shows what it does, nexus stop ends it.")


def _until_told(process: subprocess.Popen[bytes], log: Path, at: int) -> dict[str, Any]:
    while True:
        ended = process.poll()
        for told in _objects(log, at):
            if told.get("state") == "ready":
                return told
        if ended is not None:
            errors = [told["error"] for told in _objects(log, at) if isinstance(told.get("error"), dict)]
            last = errors[-1] if errors else {"message": f"It ended with {ended}.", "hint": f"Its log: {log}"}
            raise Failure(str(last["message"]), str(last["hint"]), code=ended if ended == CONFIG_EXIT else 1)
        time.sleep(LOOK_SECONDS)


def _objects(log: Path, at: int) -> list[dict[str, Any]]:
    with log.open("rb") as file:
        file.seek(at)
        lines = file.read().splitlines()
    found = []
    for line in lines[-LAST_LINES:]:
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict):
                found.append(told)
    return found


def stop(layout: Layout, *, as_json: bool) -> None:
    """Ends the mesh of this home in an orderly way, and returns when it has. Raises Failure when none runs."""
    pid = _end(layout)
    if as_json:
        print_json({"state": "stopped", "process": pid})
    else:
        console.print("Stopped.")


def _end(layout: Layout) -> int:
    """The process that has ended."""
    pid = layout.holder()
    if pid is None:
        raise Failure(f"No mesh runs from {layout.home}.", "Start one with `nexus up`, or give its --home.")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while layout.holder() is not None:
        if time.monotonic() > until:
            raise Failure(
                f"Process {pid} has not ended after {STOP_SECONDS:g} seconds.", "Its log: nexus logs up"
            )
        time.sleep(LOOK_SECONDS)
    return pid


def restart(layout: Layout, *, force: bool, as_json: bool) -> None:
    """Stops it if it runs, and starts it in the background as it was started last.

    Raises Failure, and stops nothing, when variables that it was started with are missing now; not if `force`.
    """
    try:
        before = json.loads(_started(layout).read_text())
        arguments, folder = [str(each) for each in before["arguments"]], Path(before["folder"])
        missing = [str(name) for name in before.get("variables", ()) if name not in os.environ]
    except (OSError, ValueError, KeyError, TypeError):
        raise Failure(f"Nothing was started from {layout.home} yet.", "Start it with `nexus up`.") from None
    if missing and not force:
        raise Failure(
            f"It was started with {', '.join(missing)} in its environment, and would now be without.",
            "Set what is missing here and try again, or do without: nexus restart --force",
        )
    if layout.holder() is not None:
        _end(layout)
    detach(layout, arguments, as_json=as_json, folder=folder if folder.is_dir() else None)


def _own(arguments: Sequence[str]) -> list[str]:
    """Without what each start says anew."""
    kept, given = [], iter(arguments)
    for word in given:
        if word == "--home":
            next(given, None)
        elif word not in ("--detach", "-d", "--json") and not word.startswith("--home="):
            kept.append(word)
    return kept


def _started(layout: Layout) -> Path:
    return layout.home / "run" / "started.json"
