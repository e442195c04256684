"""Work that takes long: taken in for tenants, run by gateways, and kept with what came of it; through kills of any."""

from nexus_store.work.gateways import Gateways
from nexus_store.work.running import Runner
from nexus_store.work.service import WorkServicer
from nexus_store.work.works import KIND, RETRIES, WorkLimits, Works

__all__ = ["KIND", "RETRIES", "Gateways", "Runner", "WorkLimits", "WorkServicer", "Works"]
