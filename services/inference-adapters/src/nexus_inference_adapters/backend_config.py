"""One backend, as the settings, discovery or the command line name it. What its kind asks for is the kinds' to say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from nexus_mesh.rows import MODEL_ID, PRIORITY, TIER, is_text
from nexus_mesh.settings import near
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nexus_inference_adapters.vocabulary import CAPABILITIES, OPERATIONS

__all__ = ["MOST_AT_ONCE", "BackendConfig", "ModelName", "known"]

MODEL_NAME = re.compile(r"[!-~]{1,128}")
MOST_AT_ONCE = 1_000_000


def known(what: str, value: str, names: Iterable[str]) -> str:
    """The value. Raises ValueError, with the nearest right name, for one that is none of the names."""
    names = tuple(names)
    if value not in names:
        raise ValueError(f"{value!r} is no {what}; known: {', '.join(names)}{near(value, names)}")
    return value


def _one_of(what: str, names: Iterable[str]) -> AfterValidator:
    return AfterValidator(lambda value: known(what, value, names))


def _text(longest: int) -> AfterValidator:
    def check(value: str) -> str:
        if not is_text(value, longest, least=1):
            raise ValueError(f"must have 1 to {longest} printable characters")
        return value

    return AfterValidator(check)


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https", "tcp") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError('must look like "http://127.0.0.1:8000", with no query')
    if parts.username or parts.password:
        raise ValueError("must not contain a password: name a variable with api_key_env")
    return value.rstrip("/").removesuffix("/v1")


def _model_name(value: str) -> str:
    if not MODEL_NAME.fullmatch(value):
        raise ValueError("must be 1 to 128 printable characters without spaces")
    return value


ModelName = Annotated[str, AfterValidator(_model_name)]
"""What a model file is to be called."""


class BackendConfig(BaseModel):
    """One engine: a row of [[backends]], what discovery found, or the file that was given with --model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="Unique; shows in X-Nexus-Backend."
    )
    kind: str = Field(description="The adapter that speaks to it.")
    url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None, description="Where it listens."
    )
    zone: str | None = Field(
        default=None, description="Privacy zone; only an adapter of that zone serves it."
    )
    priority: int = Field(default=50, ge=0, le=PRIORITY, description="Lower is preferred.")
    tier: Annotated[str, _text(TIER)] = Field(default="standard", description="Its tier.")
    models: tuple[Annotated[str, _text(MODEL_ID)], ...] = Field(
        default=(), description="Offer only these. Empty = what the backend lists."
    )
    max_concurrency: int | None = Field(
        default=None, ge=1, le=MOST_AT_ONCE, description="Requests at once. Unset = the backend's own word."
    )
    api_key_env: str | None = Field(
        default=None, description="The variable that holds its key; never the key itself."
    )
    path: Path | None = Field(
        default=None, description="embedded: the GGUF file. Unset = the model that comes with NEXUS."
    )
    store: Path | None = Field(
        default=None,
        description="embedded, without `path`: the folder of the models that were pulled. Unset = none are served.",
    )
    builtin: str | None = Field(
        default=None,
        description="embedded, with `store`: a model of the catalogue, served too where its package is installed.",
    )
    model_name: ModelName | None = Field(
        default=None,
        description="embedded: what to call the model. Unset = the file's name without its ending.",
    )
    workflows: Path | None = Field(
        default=None,
        description="comfyui: a folder of workflows beside those that come with NEXUS. Unset = none.",
    )
    context_tokens: int | None = Field(
        default=None, ge=1, le=2**32 - 1, description="Context of its models, where it does not tell."
    )
    capabilities: tuple[Annotated[str, _one_of("capability", CAPABILITIES)], ...] | None = Field(
        default=None, description="What its models can do, where it does not tell."
    )
    operations: tuple[Annotated[str, _one_of("operation", OPERATIONS)], ...] | None = Field(
        default=None, description="The kinds of work its models do, where it does not tell."
    )
    voices: tuple[Annotated[str, _text(256)], ...] = Field(
        default=(), description="Its voices, where a server that speaks does not tell them."
    )
    remote: bool = Field(
        default=False, description="It sends prompts elsewhere: its models are in no zone but `open`."
    )
    origin: Literal["config", "discovery"] = Field(
        default="config", description="Who named it; discovery says so itself, and nobody else need."
    )

    @property
    def found_elsewhere(self) -> bool:
        """Whether it runs on another machine and nobody listed it: it serves requests, and no more is done with it."""
        return self.remote and self.origin == "discovery"
