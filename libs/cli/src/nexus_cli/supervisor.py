"""Brings a mesh up in the right order, keeps it up, and takes it down in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus_mesh import run_file, tls
from nexus_mesh.client import Peer
from nexus_mesh.healthcheck import check

from nexus_cli import bootstrap
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure
from nexus_cli.plan import Plan
from nexus_cli.unit import Unit, UnitSpec

__all__ = ["Supervisor"]

CONFIG_EXIT = 2


class Supervisor:
    """The processes of one mesh on this machine, by unit name, in the order they were started."""

    def __init__(self, plan: Plan, layout: Layout, mesh: MeshFile, on_change: Callable[[Unit], None]) -> None:
        self.units: dict[str, Unit] = {}
        self._plan = plan
        self._layout = layout
        self._mesh = mesh
        self._on_change = on_change
        self._vault: Peer | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts every unit. Raises Failure when the vault cannot be brought to answer."""
        self._launch(self._plan.vault())
        self._vault = await bootstrap.reach_vault(self._layout, self._mesh, self._check)
        certificates = self._layout.home / "etcd" / "certificates"
        self._renewal = await bootstrap.certify_etcd(self._layout, self._mesh, self._vault, certificates)
        self._launch(self._plan.etcd())
        adapters = self._plan.adapters()
        await asyncio.gather(
            self._enrol("registry", "main", "default"),
            self._enrol("router", "main", "default"),
            self._enrol("gateway", "main", "default"),
            *(self._enrol("adapter", _flag(spec, "--name"), _flag(spec, "--zone")) for spec in adapters),
        )
        for spec in (
            self._plan.registry(),
            self._plan.router(),
            *self._plan.adapters(),
            self._plan.gateway(),
        ):
            self._launch(spec)

    async def stop(self) -> None:
        """Stops in the reverse order: the edge first, so that nothing new comes in."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._vault is not None:
            await self._vault.close()
        for unit in reversed(tuple(self.units.values())):
            await unit.stop()

    def broken(self) -> Unit | None:
        """A unit that will not come up by trying again."""
        for unit in self.units.values():
            if unit.state == f"ended with {CONFIG_EXIT}" or (unit.restarts >= 4 and unit.state != "running"):
                return unit
        return None

    def _launch(self, spec: UnitSpec) -> None:
        unit = self.units[spec.name] = Unit(spec, self._on_change)
        unit.start()

    def _check(self) -> None:
        if unit := self.broken():
            raise broken_unit(unit)

    async def _enrol(self, role: str, name: str, zone: str) -> None:
        """Leaves a join token for a unit that has no identity yet."""
        unit = role if name == "main" else f"{role}-{name}"
        path = self._layout.token(unit)
        path.unlink(missing_ok=True)
        if tls.load(self._layout.identity(role, name)) is None:
            assert self._vault is not None  # noqa: S101 - start reaches it first
            await bootstrap.leave_token(self._vault, path, role, self._mesh.node, name, zone)


async def healths(layout: Layout) -> dict[str, str]:
    """Unit -> SERVING, or what is wrong, for every process described in the home."""
    found = run_file.read_all(layout.home)
    answers = await asyncio.gather(*(check(entry) for entry in found))
    return {f"{entry.role}-{entry.name}": answer for entry, answer in zip(found, answers, strict=True)}


def broken_unit(unit: Unit) -> Failure:
    """What to tell of a unit that does not start."""
    lines = "\n".join(f"  {line}" for line in unit.log_tail()) or "  (it logged nothing)"
    return Failure(
        f"{unit.spec.name} does not start ({unit.state}).", f"{lines}\nThe whole log: {unit.spec.log}"
    )


def _flag(spec: UnitSpec, flag: str) -> str:
    return spec.command[list(spec.command).index(flag) + 1]
