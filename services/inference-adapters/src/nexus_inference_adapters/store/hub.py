"""Finds a GGUF file on the hub: its revision, its hash by the hub's own listing, and its licence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import msgspec
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Patience
from nexus_inference_adapters.store.fetcher import Remote, read
from nexus_inference_adapters.store.outside import Outside

__all__ = ["PREFIX", "OnHub", "find_on_hub", "hub_name"]

PREFIX = "hf.co/"
NAME = re.compile(
    r"hf\.co/(?P<owner>[A-Za-z0-9][\w.-]{0,95})/(?P<repository>[A-Za-z0-9][\w.-]{0,95})(?::(?P<quant>[\w.-]{1,32}))?"
)
QUANT = re.compile(r"[-._]((?:I?Q|TQ|BF|F|MXFP)\d\w*)\.gguf$", re.IGNORECASE)
SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
SHA256 = re.compile(r"[0-9a-f]{64}")
PREFERRED = ("Q4_K_M", "Q4_0", "Q4_K_S", "Q5_K_M", "Q8_0")
UNSAID = "not told"

T = TypeVar("T")


class Card(msgspec.Struct):
    """Of /api/models/OWNER/REPOSITORY."""

    sha: str
    tags: list[str] = []


class Large(msgspec.Struct):
    oid: str
    size: int


class Row(msgspec.Struct):
    """Of /api/models/OWNER/REPOSITORY/tree/REVISION. `lfs.oid` is the SHA-256."""

    path: str
    type: str = "file"
    lfs: Large | None = None


@dataclass(frozen=True, slots=True)
class OnHub:
    """A file of the hub. `license` is the hub's word for it, `source` the file's address."""

    remote: Remote
    license: str
    source: str


def hub_name(name: str) -> re.Match[str]:
    """The parts of hf.co/OWNER/REPOSITORY[:QUANTISATION]. Raises INVALID_REQUEST."""
    found = NAME.fullmatch(name)
    if found is None or ".." in name:
        raise _wrong(
            "Models of the hub are named hf.co/OWNER/REPOSITORY or hf.co/OWNER/REPOSITORY:QUANTISATION."
        )
    return found


async def find_on_hub(
    session: aiohttp.ClientSession, outside: Outside, name: str, patience: Patience
) -> OnHub:
    """Raises MODEL_NOT_FOUND, INVALID_REQUEST for what has no such file, and as `read` does."""
    asked = hub_name(name)
    repository = f"{asked['owner']}/{asked['repository']}"
    base = outside.hub / "api/models" / asked["owner"] / asked["repository"]
    headers = {"Accept": "application/json"}
    authorization = outside.authorization(base)
    _, text = await read(session, base, patience, headers, authorization)
    card = _decoded(text, Card)
    if not re.fullmatch(r"[0-9a-f]{40}", card.sha):
        raise _nonsense()
    tree = (base / "tree" / card.sha).with_query(recursive="true")
    _, text = await read(session, tree, patience, headers, authorization)
    row = _chosen(_decoded(text, list[Row]), asked["quant"], repository)
    assert row.lfs is not None  # noqa: S101 - chosen for it
    place = outside.hub.joinpath(
        asked["owner"], asked["repository"], "resolve", card.sha, *row.path.split("/")
    )
    licenses = [tag.partition(":")[2] for tag in card.tags if tag.startswith("license:")]
    remote = Remote(place, row.lfs.oid, row.lfs.size, authorization)
    return OnHub(remote, licenses[0] if licenses else UNSAID, str(place))


def _chosen(rows: Sequence[Row], quant: str | None, repository: str) -> Row:
    """The file of a quantisation; unsaid: the first of the usual ones, or the only one."""
    files = [row for row in rows if row.type == "file" and row.path.endswith(".gguf") and _is_whole(row)]
    if not files:
        raise _wrong(f"{repository} has no model in one GGUF file.", Reason.MODEL_NOT_FOUND)
    by_quant = {_quant(row): row for row in reversed(files)}
    for wanted in PREFERRED if quant is None else (quant.upper(),):
        if wanted in by_quant:
            return by_quant[wanted]
    if quant is None and len(files) == 1:
        return files[0]
    there = ", ".join(sorted(by_quant)[:20])
    raise _wrong(f"Say which one of {repository}, as hf.co/{repository}:QUANTISATION. There are: {there}.")


def _is_whole(row: Row) -> bool:
    fit = row.lfs is not None and row.lfs.size > 0 and SHA256.fullmatch(row.lfs.oid) is not None
    return fit and SHARD.search(row.path) is None and ".." not in row.path.split("/")


def _quant(row: Row) -> str:
    found = QUANT.search(row.path)
    return found[1].upper() if found else row.path.removesuffix(".gguf").upper()


def _decoded(text: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=form)
    except msgspec.MsgspecError:
        raise _nonsense() from None


def _nonsense() -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, "The hub's answer makes no sense; is HF_ENDPOINT a hub?")


def _wrong(told: str, reason: Reason = Reason.INVALID_REQUEST) -> MeshError:
    return MeshError(reason, told, metadata={"param": "model"})
