"""Brings a mesh up in the right order, keeps it up, and takes it down in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus.vault.v1 import identity_pb2
from nexus_mesh import enrollment, run_file, tls
from nexus_mesh.client import Method, Peer
from nexus_mesh.errors import MeshError
from nexus_mesh.healthcheck import CHECK, check
from nexus_mesh.join_token import JoinToken
from nexus_mesh.spiffe import role_server_name
from nexus_mesh.tls import Identity, Material

from nexus_cli import etcd
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.output import Failure
from nexus_cli.plan import Plan
from nexus_cli.unit import Unit, UnitSpec

__all__ = ["Supervisor"]

CREATE_TOKEN = Method(
    "nexus.vault.v1.IdentityService",
    "CreateJoinToken",
    identity_pb2.CreateJoinTokenRequest,
    identity_pb2.CreateJoinTokenResponse,
)
CONFIG_EXIT = 2
POLL = 0.05
START_SECONDS = 60.0


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
        self._vault = await self._reach_vault()
        await self._certify_etcd()
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

    async def _reach_vault(self) -> Peer:
        server_name = role_server_name("vault", self._mesh.trust_domain)
        for _ in range(int(START_SECONDS / POLL)):
            if unit := self.broken():
                raise broken_unit(unit)
            material = tls.load(self._layout.operator)
            if material is not None:
                peer = Peer(self._mesh.control["vault"], server_name, Identity(material))
                try:
                    await peer.unary(CHECK, CHECK.request(), timeout=1.0)
                except MeshError:
                    await peer.close()
                else:
                    return peer
            await asyncio.sleep(POLL)
        raise broken_unit(self.units["vault"])

    async def _enrol(self, role: str, name: str, zone: str) -> None:
        """Leaves a join token for a unit that has no identity yet."""
        unit = role if name == "main" else f"{role}-{name}"
        path = self._layout.token(unit)
        if tls.load(self._layout.identity(role, name)) is not None:
            path.unlink(missing_ok=True)
            return
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(await self._token(role, name, zone))

    async def _token(self, role: str, name: str, zone: str) -> str:
        assert self._vault is not None  # noqa: S101 - start reaches it first
        request = identity_pb2.CreateJoinTokenRequest(role=role, node=self._mesh.node, name=name, zone=zone)
        return (await self._vault.unary(CREATE_TOKEN, request, timeout=5.0)).token

    async def _certify_etcd(self) -> None:
        """Gives etcd a certificate, and a fresh one before each ends."""
        folder, files = self._layout.identity("etcd", "main"), self._layout.home / "etcd" / "certificates"
        material = tls.load(folder) or await self._first_etcd_material()
        identity = Identity(material)
        tls.store(folder, material)
        etcd.write_certificate(files, material)
        identity.subscribe(lambda: etcd.write_certificate(files, identity.material))
        server_name = role_server_name("vault", self._mesh.trust_domain)
        renew = enrollment.renew_with(Peer(self._mesh.control["vault"], server_name, identity))
        self._renewal = asyncio.get_running_loop().create_task(enrollment.keep_fresh(identity, folder, renew))

    async def _first_etcd_material(self) -> Material:
        key = tls.new_key()
        token = JoinToken.decode(await self._token("etcd", "main", "default"))
        joined = await enrollment.join(token, tls.certificate_request(key))
        return Material(key, joined.certificate.chain_pem, joined.certificate.bundle_pem)


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
