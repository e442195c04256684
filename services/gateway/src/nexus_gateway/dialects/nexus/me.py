"""GET me: who a key makes its caller, what that one may do, and what is left of it."""

from __future__ import annotations

import time

import msgspec
from msgspec import Struct

from nexus_gateway.dialects.nexus.front import Listed
from nexus_gateway.http import Exchange, Handler

__all__ = ["Me", "me_handler"]


class May(Struct):
    """`manage_models`: load, unload, pull and delete. `see_all`: backends, hosts, zones and rules in answers."""

    manage_models: bool
    see_all: bool


class Left(Struct):
    """`seconds` until the key ends, null = never. `body_bytes`: of request bodies under way, of the tenant's share."""

    seconds: float | None
    body_bytes: int


class Me(Struct):
    """`zones`: the privacy zones that every request of this key stays in. `models`: what it may ask for now."""

    id: str
    name: str
    tenant: str
    zones: list[str]
    may: May
    models: list[str]
    left: Left
    object: str = "me"


def me_handler(pipeline: Listed) -> Handler:
    async def handle(exchange: Exchange) -> None:
        who = exchange.caller
        told = Me(
            id=who.id,
            name=who.name,
            tenant=who.tenant,
            zones=sorted(who.zones),
            may=May(who.manage, exchange.may_see_all),
            models=[row.id for row in pipeline.models(who)],
            left=Left(
                None if who.expires_at is None else round(max(0.0, who.expires_at - time.time()), 1),
                0 if exchange.hold is None else exchange.hold.left,
            ),
        )
        await exchange.respond(200, msgspec.json.encode(told), [(b"cache-control", b"no-store")])

    return handle
