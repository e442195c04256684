"""What `nexus doctor` finds on this machine, whether a mesh runs on it or not: the command, packages, leftovers."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nexus_inference_adapters.store import Store

from nexus_cli.layout import Layout

__all__ = ["Finding", "command", "foreign_packages", "leftovers", "packages"]

DISTRIBUTION = "nexus-inference-mesh"
NAMESPACE, PROTOS = "nexus", "nexus-protos"
"""The protos' module of the first rank, and their distribution; the others' have one name."""
PRIVATE = "Private :: Do Not Upload"
"""The classifier of our members. Public indexes refuse whatever has it, so nothing that came from one does."""
ABANDONED = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `advice` is empty when all is well; of what is `ok` it is a word about what may come."""

    check: str
    ok: bool
    detail: str
    advice: str = ""


async def command(_: Layout) -> list[Finding]:
    """Whether `nexus` in a shell is this one."""
    own, found = Path(sysconfig.get_path("scripts")) / "nexus", shutil.which("nexus")
    if found is None:
        run = Path(sys.argv[0])  # an installer's link to it, where there is one
        shown = run.absolute() if run.exists() and run.resolve() == own.resolve() else own
        return [Finding("command", True, f"{shown} is not on the PATH", f"Put {shown.parent} there.")]
    if own.exists() and Path(found).resolve() != own.resolve():
        return [
            Finding(
                "command", True, f"`nexus` in a shell is {found}, and this is {own}", "Remove one of them."
            )
        ]
    return [Finding("command", True, found)]


async def packages(_: Layout) -> list[Finding]:
    """Foreign packages under our names: they would be imported in our place."""
    owners = importlib.metadata.packages_distributions()
    advice = "Remove it: it runs with the mesh's keys. Then install NEXUS again as README.md says."
    return [
        Finding(f"package {name}", False, detail, advice)
        for name, detail in foreign_packages(owners, sys.modules)
    ] or [Finding("packages", True, "none under our names")]


def foreign_packages(owners: Mapping[str, Iterable[str]], modules: Iterable[str]) -> list[tuple[str, str]]:
    """(distribution, what is wrong with it) of those not ours that have files in a module of ours, or its name.

    `owners`: module of the first rank -> the distributions with files in it; `modules`: those imported.
    """
    tops = {name.partition(".")[0] for name in modules}
    ours = sorted(top for top in tops if top == NAMESPACE or top.startswith(f"{NAMESPACE}_"))
    inside = {name: f"has files in our module {top}" for top in ours for name in owners.get(top, ())}
    names = {top.replace("_", "-") for top in ours} - {NAMESPACE} | {PROTOS}
    wrong = {
        _plain(name): told for name, told in (dict.fromkeys(names, "bears a name of ours") | inside).items()
    }
    installed = {_plain(one.name) for one in importlib.metadata.distributions()}
    return sorted((name, told) for name, told in wrong.items() if name in installed and not _is_ours(name))


def _is_ours(name: str) -> bool:
    about = importlib.metadata.metadata(name)
    return name == DISTRIBUTION or PRIVATE in (about.get_all("Classifier") or ())


def _plain(name: str) -> str:
    """As indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


async def leftovers(layout: Layout) -> list[Finding]:
    """What pulls left that nobody went on with."""
    until = time.time() - ABANDONED.total_seconds()
    old: dict[Path, int] = {}
    for path in Store(layout.home / "models").parts():
        with contextlib.suppress(FileNotFoundError):  # a pull has ended since
            if (about := path.stat()).st_mtime < until:
                old[path] = about.st_size
    if not old:
        return []
    detail = f"{len(old)} that nobody went on with for a day, {sum(old.values()) / 1e6:,.0f} MB"
    advice = f"Pull the model again to go on, or delete {', '.join(map(str, old))}"
    return [Finding("pulls", True, detail, advice)]
