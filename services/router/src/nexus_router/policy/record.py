"""One revision as it lies on the disk."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

from nexus_mesh.settings import sentences
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Record"]


class Record(BaseModel):
    """A revision. `policy` is the table [routing]; None gives the word back to nexus.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: int = Field(ge=1)
    author: str
    comment: str = ""
    time: AwareDatetime = Field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    policy: dict[str, Any] | None

    def encode(self) -> bytes:
        """JSON for people too, with a checksum: half a file, or one that was changed, does not pass for a whole one."""
        document = self.model_dump(mode="json")
        return json.dumps({"sha256": _digest(document), **document}, indent=1, ensure_ascii=False).encode()

    @classmethod
    def decode(cls, content: bytes) -> Record:
        """Raises ValueError that says what is wrong with the file."""
        try:
            document = json.loads(content)
            digest = document.pop("sha256")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            raise ValueError("the file is damaged") from None
        if digest != _digest(document):
            raise ValueError("the file was changed since it was written") from None
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ValueError("; ".join(sentences(error))) from None


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
