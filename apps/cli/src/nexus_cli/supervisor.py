"""Brings a mesh up in the right order, keeps it up, and takes it down in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from nexus_mesh.identity import tls
from nexus_mesh.process import check, run_file
from nexus_mesh.rpc import Peer

from nexus_cli import bootstrap
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import CONFIG_EXIT, Failure
from nexus_cli.plan import Plan
from nexus_cli.unit import Unit, UnitSpec

__all__ = ["TRIES", "Supervisor", "broken_unit", "healths"]

TRIES = 3
"""A process that has ended so often at the start is not brought up by one more start."""


class Supervisor:
    """The processes of one mesh on this machine, by unit name, in the order they were started."""

    def __init__(self, plan: Plan, layout: Layout, mesh: MeshFile, on_change: Callable[[Unit], None]) -> None:
        self.units: dict[str, Unit] = {}
        self.plan = plan
        self._layout = layout
        self._mesh = mesh
        self._on_change = on_change
        self._renewal: asyncio.Task[None] | None = None
        self.deadline = asyncio.get_running_loop().time() + bootstrap.START_SECONDS
        """On the loop's clock: when a mesh that is not ready yet has failed."""

    async def start(self) -> None:
        """Starts every unit. Raises Failure when the vault is needed and cannot be brought to answer."""
        self._launch(self.plan.vault())
        await self._prepare()
        for spec in (self.plan.etcd(), self.plan.registry(), self.plan.router(), *self.plan.store()):
            self._launch(spec)
        for spec in (*self.plan.adapters(), self.plan.gateway()):
            self._launch(spec)

    async def stop(self) -> None:
        """The edge first, so that nothing new comes in; etcd last, so that everybody can sign off."""
        if self._renewal is not None:
            self._renewal.cancel()
        for wave in (["gateway"], self.adapters, ["store", "router", "registry", "vault"], ["etcd"]):
            await asyncio.gather(*(self.units[name].stop() for name in wave if name in self.units))

    @property
    def adapters(self) -> list[str]:
        """The names of the units that hold backends."""
        return [name for name in self.units if name.startswith("adapter")]

    def broken(self) -> Unit | None:
        """A unit that will not come up by trying again."""
        for unit in self.units.values():
            if unit.state == f"ended with {CONFIG_EXIT}" or (
                unit.restarts >= TRIES and unit.state != "running"
            ):
                return unit
        return None

    def _launch(self, spec: UnitSpec) -> None:
        unit = self.units[spec.name] = Unit(spec, self._on_change)
        unit.start()

    def _check(self) -> None:
        if unit := self.broken():
            raise broken_unit(unit)

    async def _prepare(self) -> None:
        """Sees that every member has an identity or a join token. After the first start that takes no waiting."""
        members = [("etcd", "main", "default")]
        members += [(role, "main", "default") for role in ("registry", "router", "gateway")]
        members += [("store", "main", "default") for _ in self.plan.store()]
        members += [
            ("adapter", _flag(spec, "--name"), _flag(spec, "--zone")) for spec in self.plan.adapters()
        ]
        newcomers = [one for one in members if tls.load(self._layout.identity(one[0], one[1])) is None]
        for role, name, _ in members:
            self._token(role, name).unlink(missing_ok=True)
        certificates = self._layout.home / "etcd" / "certificates"
        async with contextlib.AsyncExitStack() as stack:
            vault: Peer | None = None
            if newcomers:
                vault = await bootstrap.reach_vault(self._layout, self._mesh, self._check, self.deadline)
                stack.push_async_callback(vault.close)
                for role, name, zone in newcomers:
                    if role != "etcd":
                        await bootstrap.leave_token(
                            vault, self._token(role, name), role, self._mesh.node, name, zone
                        )
            self._renewal = await bootstrap.certify_etcd(self._layout, self._mesh, vault, certificates)

    def _token(self, role: str, name: str) -> Path:
        return self._layout.token(role if name == "main" else f"{role}-{name}")


async def healths(layout: Layout) -> dict[str, str]:
    """Unit -> SERVING, or what is wrong, for every process described in the home."""
    found = run_file.read_all(layout.home)
    answers = await asyncio.gather(*(check(entry) for entry in found))
    return {f"{entry.role}-{entry.name}": answer for entry, answer in zip(found, answers, strict=True)}


def broken_unit(unit: Unit) -> Failure:
    """What to tell of a unit that does not start."""
    words = unit.last_words() or f"it {unit.state}, and its log does not say why"
    return Failure(
        f"{unit.spec.name} does not start: {words.rstrip('.')}.", f"The whole log: {unit.spec.log}"
    )


def _flag(spec: UnitSpec, flag: str) -> str:
    return spec.command[list(spec.command).index(flag) + 1]
