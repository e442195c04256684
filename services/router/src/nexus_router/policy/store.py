"""Revisions of the policy: which can be used, and why another cannot. Everything that reads or writes blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_routing import Policy

from nexus_router.policy import text
from nexus_router.policy.files import Record, RevisionFiles

__all__ = ["PolicyStore", "Revision"]

log = telemetry.logger("policy")


@dataclass(frozen=True, slots=True)
class Revision:
    """A policy that holds. `record` is None for nexus.toml, which is revision 0."""

    policy: Policy
    record: Record | None = None

    @property
    def number(self) -> int:
        return 0 if self.record is None else self.record.revision

    @property
    def of_file(self) -> bool:
        """Whether it is what nexus.toml says, and not one of its own."""
        return self.record is None or self.record.policy is None

    @property
    def etag(self) -> str:
        return f"{self.number}-{text.fingerprint(self.policy)}"


class PolicyStore:
    """`base` is what nexus.toml says. `prove` raises when gateways could not use a policy."""

    def __init__(self, files: RevisionFiles, base: Policy, prove: Callable[[Policy], object]) -> None:
        self.base = Revision(base)
        self._files = files
        self._prove = prove

    def check(self, json: str) -> Policy:
        """The policy in a text. Raises INVALID_REQUEST."""
        policy = text.read(json)
        self._prove(policy)
        return policy

    def newest(self) -> tuple[Revision, str]:
        """The newest revision that can be used, else nexus.toml, and what is wrong with those newer. Raises OSError."""
        self._files.open()
        chosen, problems = self.base, list[str]()
        for number in self._files.numbers():
            try:
                chosen = self._usable(number)
                break
            except ValueError as error:
                problems.append(str(error))
        if not problems:
            return chosen, ""
        more = f", nor can {len(problems) - 1} before it" if len(problems) > 1 else ""
        return chosen, f"{problems[0]}{more}; {_name(chosen)} is in force"

    def revision(self, number: int) -> Revision:
        """Raises OBJECT_NOT_FOUND, also for one that cannot be used."""
        if number == 0:
            return self.base
        try:
            return self._usable(number)
        except ValueError as error:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND,
                f"There is no revision {number} to be had: {error}. `nexus policy history` lists those kept.",
                metadata={"param": "revision"},
            ) from None

    def before(self, number: int) -> int:
        """The revision before. Raises OBJECT_NOT_FOUND."""
        if number == 0:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND,
                "There is nothing to go back to: nexus.toml is in force, and no policy was stored before.",
                metadata={"param": "revision"},
            )
        return max((other for other in self._files.numbers() if other < number), default=0)

    def add(self, policy: Policy | None, comment: str, author: str) -> Revision:
        """Stores a policy, or with None that nexus.toml has the word. Raises STORE_UNAVAILABLE: nothing is stored."""
        document = None if policy is None else text.document(policy)
        number = self._files.next_number()
        record = Record(revision=number, author=author, comment=comment, policy=document)
        try:
            self._files.write(record)
        except OSError as error:
            log.error("policy not stored", cause=str(error))
            raise MeshError(
                Reason.STORE_UNAVAILABLE,
                f"The policy could not be stored in {self._files.folder} ({error.strerror}): nothing has changed.",
            ) from None
        return Revision(self.base.policy if policy is None else policy, record)

    def problem_of(self, revision: Revision) -> str:
        """Why it would not be there after a restart; empty when it would."""
        if revision.record is None:
            return ""
        try:
            self._files.read(revision.number)
        except ValueError as error:
            return f"{error}; {_name(revision)} stays in force while the router runs: set it again"
        return ""

    def history(self) -> list[tuple[int, Record | str]]:
        """What is kept, newest first: each number with its record, or with why that cannot be used."""
        return [(number, self._entry(number)) for number in self._files.numbers()]

    def _entry(self, number: int) -> Record | str:
        try:
            return self._files.read(number)
        except ValueError as error:
            return str(error)

    def _usable(self, number: int) -> Revision:
        """Raises ValueError."""
        record = self._files.read(number)
        if record.policy is None:
            return Revision(self.base.policy, record)
        path = self._files.path(number)
        try:
            policy = text.validate(record.policy)
            self._prove(policy)
        except MeshError as error:
            raise ValueError(f"{path} cannot be used ({error.message})") from None
        except Exception as error:  # whatever it is, a router that does not start would be worse
            log.error("stored policy cannot be compiled", revision=number, exc_info=error)
            raise ValueError(f"{path} cannot be used (it cannot be compiled; the log tells more)") from None
        return Revision(policy, record)


def _name(revision: Revision) -> str:
    return f"revision {revision.number}" if revision.number else "nexus.toml"
