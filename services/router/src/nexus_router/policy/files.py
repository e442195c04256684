"""Revisions on the disk: one file each, written whole or not at all, the last hundred kept. Everything here blocks."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from nexus_mesh.core import private_folder, remove_parts, telemetry, write_private
from nexus_mesh.settings import sentences
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

__all__ = ["KEPT", "Record", "RevisionFiles"]

KEPT = 100
NAME = re.compile(r"([1-9][0-9]{0,17})\.json")

log = telemetry.logger("policy")


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


class RevisionFiles:
    """The folder must belong to this process alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._highest = 0

    def open(self) -> None:
        """Makes the folder and tidies it up. Raises OSError."""
        private_folder(self.folder)
        remove_parts(self.folder)
        self._highest = max(self.numbers(), default=0)

    def path(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    def numbers(self) -> list[int]:
        """Of every file, readable or not, newest first."""
        names = (NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted((int(name[1]) for name in names if name), reverse=True)

    def read(self, number: int) -> Record:
        """Raises ValueError, naming the file, when it is not there or cannot be used."""
        path = self.path(number)
        try:
            record = Record.decode(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise ValueError(f"{path} cannot be used ({error})") from None
        if record.revision != number:
            raise ValueError(f"{path} cannot be used (it holds revision {record.revision})")
        return record

    def next_number(self) -> int:
        """Higher than every one there ever was, and never given twice."""
        self._highest += 1
        return self._highest

    def write(self, record: Record) -> None:
        """On the disk when it returns; on OSError it is not there."""
        path = self.path(record.revision)
        try:
            write_private(path, record.encode())
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        try:
            for number in self.numbers()[KEPT:]:
                self.path(number).unlink(missing_ok=True)
        except OSError as error:
            log.warning("old revisions of the policy stay", cause=str(error))


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
