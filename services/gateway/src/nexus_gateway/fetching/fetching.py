"""What requests name by URL is fetched by a limited process; the gateway itself opens no connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from nexus_mesh.core import MeshError, Reason
from prometheus_client import Counter

from nexus_gateway.core import InferenceRequest
from nexus_gateway.intake import BodyBudget, Hold
from nexus_gateway.validation import IMAGES, RequestCode, inlined, invalid

if TYPE_CHECKING:
    from nexus_fetcher import Fetched, Fetcher

__all__ = ["Fetching"]

LINKS = 8
"""That one request may have."""
LARGEST = 16 << 20
"""Bytes of a request with its images in it: of what is sent whole, too, no more is taken."""
FETCHES = Counter("nexus_gateway_fetches_total", "URLs of requests that were fetched, or not.", ["outcome"])


class Fetching:
    """`private`: hosts that may be fetched from though they are not public. `bodies`: room for what comes."""

    def __init__(self, private: tuple[str, ...] = (), bodies: BodyBudget | None = None) -> None:
        self._private = private
        self._bodies = bodies
        self._fetcher: Fetcher | None = None

    async def fetch(
        self,
        url: str,
        param: str,
        *,
        accepts: AbstractSet[str],
        most: int,
        code: RequestCode = "invalid_image_url",
    ) -> Fetched:
        """At most `most` bytes of one of these media types. Raises INVALID_REQUEST with that code and `param`,
        OVERLOAD. Not for what may be refused without it: its host learns that somebody asks.
        """
        from nexus_fetcher import Fetcher, Rules, Unfetched  # nobody pays for what few requests need

        if self._fetcher is None:
            self._fetcher = Fetcher(Rules(self._private))
        try:
            fetched = await self._fetcher.fetch(url, accepts=accepts, most=most)
        except Unfetched as error:
            FETCHES.labels("refused").inc()
            raise invalid(code, f"'{param}' {error.why}.", param) from None
        FETCHES.labels("ok").inc()
        return fetched

    async def inline(self, request: InferenceRequest) -> None:
        """Puts the images behind a request's links into it, all or none. Raises as `fetch`, and REQUEST_TOO_LARGE."""
        links, room = request.links, (LARGEST - request.size) * 3 // 4
        if len(links) > LINKS:
            raise invalid(
                "invalid_image_url",
                f"'{links[LINKS][1]}' is one link too many: {LINKS} images of a request are fetched. Send the others "
                "themselves, as data:image/png;base64,...",
                links[LINKS][1],
            )
        if room <= 0:
            raise _too_large()
        paths = {holder["url"]: path for holder, path in reversed(links)}
        fetching = [
            asyncio.ensure_future(self.fetch(url, path, accepts=IMAGES, most=room))
            for url, path in paths.items()
        ]
        try:
            came = dict(zip(paths, await asyncio.gather(*fetching), strict=True))
        finally:
            for one in fetching:
                one.cancel()
        added = sum(len(came[holder["url"]].data) * 4 // 3 + 64 for holder, _ in links)
        if request.size + added > LARGEST:
            raise _too_large()
        if self._bodies is not None:
            hold = Hold(self._bodies, request.principal.tenant)
            request.release = hold.release
            await hold.reach(added)
        for holder, path in links:
            holder["url"] = await asyncio.to_thread(inlined, came[holder["url"]].data, path)
        request.links, request.size = (), request.size + added
        request.pack()

    async def close(self) -> None:
        if self._fetcher is not None:
            await self._fetcher.close()


def _too_large() -> MeshError:
    return MeshError(
        Reason.REQUEST_TOO_LARGE,
        f"The request with the images that it names by URL is larger than the {LARGEST >> 20} MB that this gateway "
        "takes. Send fewer or smaller ones.",
        metadata={"param": "messages"},
    )
