"""Rows about others are data; who may serve what is identity. Whoever takes in a row asks here whether it follows."""

from __future__ import annotations

from collections import OrderedDict

import prometheus_client
from nexus.registry.v1 import instance_pb2
from nexus.router.v1 import snapshot_pb2

from nexus_mesh.core import telemetry
from nexus_mesh.identity import SpiffeId

__all__ = ["RowGuard"]

REMEMBERED = 256
"""Refused rows that are not logged again; whoever can write rows could else fill the log."""

REFUSED = prometheus_client.Counter(
    "nexus_mesh_rows_refused_total", "Rows whose names do not follow from one identity.", ["source"]
)
log = telemetry.logger("rows")


class RowGuard:
    """Lets a row through when its names are those of one identity of the mesh: id, zone and the name it is dialled by.

    Who answers at a row's address must then show a certificate for that very zone. `source`: where the rows are from.
    """

    def __init__(self, trust_domain: str, source: str) -> None:
        self._trust_domain = trust_domain
        self._source = source
        self._told: OrderedDict[str, None] = OrderedDict()

    def admits(self, row: instance_pb2.Instance) -> bool:
        """Whether the registry, asked by that identity, could have made the row."""
        spiffe = self._identity(row.id, row.zone, row.server_name)
        named = (row.role, row.node, row.name)
        if spiffe is not None and named == (spiffe.role, spiffe.node, spiffe.name):
            return True
        self._refuse(row.id, row.zone, row.server_name, row.address)
        return False

    def admits_target(self, target: snapshot_pb2.Target) -> bool:
        """Whether a router could have made the target of such a row."""
        spiffe = self._identity(target.instance, target.zone, target.server_name)
        place = f"{target.instance}#{target.backend}"
        if spiffe is not None and spiffe.role == "adapter" and target.id == place:
            return True
        self._refuse(target.id, target.zone, target.server_name, target.address)
        return False

    def _identity(self, instance_id: str, zone: str, server_name: str) -> SpiffeId | None:
        try:
            spiffe = SpiffeId.of_instance(instance_id, zone, self._trust_domain)
        except ValueError:
            return None
        return spiffe if spiffe.server_name == server_name else None

    def _refuse(self, name: str, zone: str, server_name: str, address: str) -> None:
        REFUSED.labels(self._source).inc()
        if name in self._told:
            return
        self._told[name] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        log.error(
            "row refused: its zone and server name do not follow from one identity",
            source=self._source,
            id=name[:256],
            zone=zone[:64],
            server_name=server_name[:256],
            address=address[:256],
        )
