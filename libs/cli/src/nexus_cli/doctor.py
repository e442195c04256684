"""`nexus doctor`: a list of checks, each with what to do when it fails."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import typer
from nexus_mesh import tls
from nexus_mesh.errors import MeshError
from rich.text import Text

from nexus_cli import etcd, policy_calls
from nexus_cli.instances import STATES, listed
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.operator import control
from nexus_cli.output import Failure, console, print_json, shown
from nexus_cli.resume_doubts import doubts
from nexus_cli.supervisor import healths

__all__ = ["doctor"]

LEAST_FREE = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `advice` is empty when all is well."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


async def doctor(layout: Layout, *, as_json: bool) -> None:
    """Runs every check; exit code 1 when one fails."""
    findings = [finding for check in CHECKS for finding in await check(layout)]
    if as_json:
        rows = [{"check": f.check, "ok": f.ok, "detail": f.detail, "advice": f.advice} for f in findings]
        print_json(rows)
    else:
        for finding in findings:
            mark = ("ok  ", "green") if finding.ok else ("bad ", "red")
            console.print(Text.assemble(mark, " ", shown(f"{finding.check}: {finding.detail}")))
            if finding.advice:
                console.print(f"      {finding.advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _home(layout: Layout) -> list[Finding]:
    if not layout.home.exists():
        return [Finding("data directory", False, f"{layout.home} does not exist", "Start a mesh: nexus up")]
    if not os.access(layout.home, os.W_OK):
        return [
            Finding("data directory", False, f"{layout.home} is not writable", f"chown it: {layout.home}")
        ]
    free = shutil.disk_usage(layout.home).free
    detail = f"{layout.home}, {free / 1e9:.1f} GB free"
    return [
        Finding(
            "data directory", free > LEAST_FREE, detail, "" if free > LEAST_FREE else "Make room on the disk."
        )
    ]


async def _etcd(_: Layout) -> list[Finding]:
    try:
        return [Finding("etcd", True, etcd.binary())]
    except Failure as failure:
        return [Finding("etcd", False, failure.message, failure.hint)]


async def _supervisor(layout: Layout) -> list[Finding]:
    mesh = layout.read()
    alive = mesh is not None and mesh.pid > 0 and Path(f"/proc/{mesh.pid}").exists()
    if mesh is None or not (alive or not Path("/proc").exists()):
        return [Finding("supervisor", False, "no `nexus up` runs from this home", "Start it: nexus up")]
    return [Finding("supervisor", True, f"process {mesh.pid}")]


async def _processes(layout: Layout) -> list[Finding]:
    advice = f"Look at the end of its log in {layout.home / 'logs'}."
    return [
        Finding(f"process {unit}", answer == "SERVING", answer, "" if answer == "SERVING" else advice)
        for unit, answer in (await healths(layout)).items()
    ]


async def _certificates(layout: Layout) -> list[Finding]:
    found = []
    now = datetime.datetime.now(datetime.UTC)
    for folder in sorted((layout.home / "identities").glob("*")):
        material = tls.load(folder)
        if material is None:
            advice = "Restart `nexus up`; on a joined machine make a new token and join again."
            found.append(Finding(f"certificate {folder.name}", False, "missing or expired", advice))
        else:
            left = material.leaf().not_valid_after_utc - now
            found.append(Finding(f"certificate {folder.name}", True, f"good for {str(left).split('.')[0]}"))
    return found


async def _backends(layout: Layout) -> list[Finding]:
    try:
        instances = await listed(layout, "adapter")
    except (MeshError, Failure) as error:
        return [Finding("registry", False, str(error), "Is `nexus up` running?")]
    found = []
    for instance in instances:
        for backend in instance.status.backends:
            ok = STATES[backend.state] == "active" and instance.connected
            detail = f"{STATES[backend.state]}, {len(backend.models)} models {backend.state_reason}".strip()
            advice = "" if ok else "Start the engine, or correct its url in nexus.toml."
            found.append(Finding(f"backend {backend.name}", ok, detail, advice))
    none = Finding("backends", False, "none", "Start an engine, or serve a file: nexus up --model FILE.gguf")
    return found or [none]


async def _policy(layout: Layout) -> list[Finding]:
    try:
        async with control(layout, "router") as router:
            got = await policy_calls.get(router)
    except (MeshError, Failure) as error:
        return [Finding("policy", False, str(error), "Is `nexus up` running?")]
    if got.problem:
        return [Finding("policy", False, got.problem, "Set it again: nexus policy set FILE")]
    where = f"revision {got.revision_in_force}" if got.revision_in_force else "nexus.toml"
    doubted = doubts(json.loads(got.policy.json), await listed(layout, "adapter"))
    return [Finding("policy", True, where, "\n      ".join(doubted))]


async def _endpoint(layout: Layout) -> list[Finding]:
    mesh = layout.read() or MeshFile(node="")
    if not mesh.http:
        return []
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3), trust_env=False) as session,
            session.get(f"{mesh.http}/readyz") as response,
        ):
            told = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return [Finding("endpoint", False, f"{mesh.http} does not answer", "Is `nexus up` running?")]
    ok = response.status == 200
    return [Finding("endpoint", ok, f"{mesh.http}/v1", "" if ok else f"It waits for: {told.get('missing')}")]


CHECKS: tuple[Callable[[Layout], Awaitable[list[Finding]]], ...] = (
    _home,
    _etcd,
    _supervisor,
    _certificates,
    _processes,
    _backends,
    _policy,
    _endpoint,
)
