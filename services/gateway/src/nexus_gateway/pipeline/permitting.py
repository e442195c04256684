"""Who asks, and whether they may ask that."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from nexus_mesh.core import telemetry

from nexus_gateway.access import ANONYMOUS, Authenticator, Principal, may_manage
from nexus_gateway.core import Passage
from nexus_gateway.metering import begin, end, settle
from nexus_gateway.pipeline.steps import Step, Way
from nexus_gateway.validation import granted

__all__ = ["Authenticate", "Meter", "Permit"]


class Meter(Step):
    """Counts every request that asks for an answer, and writes its line."""

    ways: ClassVar[Way] = Way.RUN

    async def start(self, passage: Passage) -> None:  # noqa: ARG002 - as every step
        begin()

    def end(self, passage: Passage) -> None:
        settle(passage)
        end(passage)


class Authenticate(Step):
    """`authenticator` None = open: whoever gets here may use every model."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator

    async def identify(self, credential: str | None) -> Principal:
        """Whose credential it is. Raises CALLER_KEY or AUTH_UNAVAILABLE."""
        return (
            ANONYMOUS if self._authenticator is None else await self._authenticator.authenticate(credential)
        )

    async def start(self, passage: Passage) -> None:
        telemetry.set_request_id(passage.request.request_id)
        if passage.request.principal is None:
            passage.request.principal = await self.identify(passage.request.credential)

    async def again(self, passage: Passage) -> None:
        """Keys change, and tenants."""
        principal = passage.request.principal
        if principal is not None and principal.again is not None:
            passage.request.principal = principal.again()
        elif self._authenticator is not None and principal is not None:
            passage.request.principal = self._authenticator.again(principal)


class Permit(Step):
    """Lets parameters that are on no table through to those who may send them."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(self, passthrough: Collection[str]) -> None:
        self._passthrough = frozenset(passthrough)

    async def start(self, passage: Passage) -> None:
        request = passage.request
        manages = may_manage(request.principal)
        request.granted = granted(request.outline, self._passthrough, manages=manages)
