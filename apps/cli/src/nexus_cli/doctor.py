"""`nexus doctor`: a list of checks, each with what to do when it fails."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import ssl
from collections.abc import Awaitable, Callable

import aiohttp
import typer
from nexus_mesh.core import MeshError
from nexus_mesh.identity import tls
from rich.text import Text

from nexus_cli import doctor_ahead, doctor_machine, etcd, etcd_door, identities, policy_calls
from nexus_cli.doctor_machine import Finding
from nexus_cli.instances import STATES, listed
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.operator import control
from nexus_cli.output import Failure, console, print_json, shown
from nexus_cli.resume_doubts import doubts
from nexus_cli.supervisor import healths

__all__ = ["doctor", "etcd_doors"]

LEAST_FREE = 512 * 1024 * 1024


async def doctor(layout: Layout, *, verbose: bool, as_json: bool) -> None:
    """Runs every check, and shows by group what is not ok or needs a word; all of it if `verbose`. Exit code 1 when one
    fails.
    """
    found = {
        group: [finding for check in checks for finding in await check(layout)]
        for group, checks in CHECKS.items()
    }
    findings = [finding for each in found.values() for finding in each]
    if as_json:
        print_json(
            [
                {"group": group, "check": f.check, "ok": f.ok, "detail": f.detail, "advice": f.advice}
                for group, each in found.items()
                for f in each
            ]
        )
    else:
        for group, each in found.items():
            _show(group, [finding for finding in each if verbose or not finding.ok or finding.advice])
        bad = sum(not finding.ok for finding in findings)
        well = f"{len(findings)} checks, {bad or 'nothing'} bad"
        console.print(f"{well}." if verbose else f"{well}; --verbose shows them all.")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _show(group: str, findings: list[Finding]) -> None:
    if findings:
        console.print(group)
    for finding in findings:
        mark = (
            ("bad ", "red") if not finding.ok else ("note", "yellow") if finding.advice else ("ok  ", "green")
        )
        console.print(Text.assemble("  ", mark, " ", shown(f"{finding.check}: {finding.detail}")))
        if finding.advice:
            console.print(f"        {finding.advice}")


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


async def etcd_doors(layout: Layout) -> list[Finding]:
    """That etcd takes registries alone: it must refuse the operator, and whoever shows no certificate."""
    mesh, material, check = layout.read(), tls.load(layout.operator), "etcd's door"
    address = _etcd_address(mesh) if mesh is not None else ""
    if mesh is None or not address or material is None:  # a joined machine has no etcd
        return []
    roots = material.bundle_pem.decode()
    operator, nobody = ssl.create_default_context(cadata=roots), ssl.create_default_context(cadata=roots)
    operator.load_cert_chain(layout.operator / "chain.pem", layout.operator / "key.pem")
    try:
        shown = {"the operator": operator, "a caller without a certificate": nobody}
        admitted = [
            who
            for who, context in shown.items()
            if await etcd_door.admits(address, context, mesh.trust_domain)
        ]
    except OSError as error:
        return [Finding(check, False, f"{address}: {error}", "Is `nexus up` running? Its log tells more.")]
    if admitted:
        advice = "Anybody in the mesh can forge rows. Start it as `nexus up` or compose does: every flag."
        return [Finding(check, False, f"{address} lets in {' and '.join(admitted)}", advice)]
    return [Finding(check, True, f"{address} refuses the operator, and who shows no certificate")]


def _etcd_address(mesh: MeshFile) -> str:
    return mesh.control.get("etcd") or (f"127.0.0.1:{mesh.ports['etcd']}" if "etcd" in mesh.ports else "")


async def _supervisor(layout: Layout) -> list[Finding]:
    holder = layout.holder()
    if holder is None:
        return [Finding("supervisor", False, "no `nexus up` runs from this home", "Start it: nexus up")]
    return [Finding("supervisor", True, f"process {holder}")]


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


async def _identities(layout: Layout) -> list[Finding]:
    try:
        async with control(layout, "vault") as vault:
            rows = await identities.known(vault)
    except (MeshError, Failure):
        return []  # the process check says so already; a joined machine has no operator identity to ask with
    copied = [row["identity"] for row in rows if row["copied"] and not row["denied"]]
    advice = (
        "If nobody restored a backup: nexus identities deny ID, and join that machine under another name."
        " If somebody did: nexus identities allow ID."
    )
    found = [
        Finding(f"identity {name}", False, "two use it: an older certificate was renewed", advice)
        for name in copied
    ]
    return found or [Finding("identities", True, f"{len(rows)} known, none copied")]


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


CHECKS: dict[str, tuple[Callable[[Layout], Awaitable[list[Finding]]], ...]] = {
    "This machine": (
        _home,
        _etcd,
        doctor_machine.packages,
        doctor_machine.command,
        doctor_machine.leftovers,
    ),
    "The mesh": (
        _supervisor,
        _processes,
        etcd_doors,
        doctor_ahead.versions,
        doctor_ahead.clocks,
        doctor_ahead.reach,
    ),
    "Models": (_backends, doctor_ahead.engines, _policy, _endpoint),
    "Who may do what": (_certificates, _identities, doctor_ahead.expiring_keys, doctor_ahead.join_tokens),
}
