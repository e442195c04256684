"""The members of the workspace as their files tell, and what wheels say of themselves."""

from __future__ import annotations

import re
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from support.house_copy import ROOT

__all__ = ["MEMBERS", "NAMES", "UV", "least_versions", "metadata", "name_of", "requirements"]

UV = ROOT / ".tools" / "bin" / "uv"
MEMBERS = {
    path.parent: tomllib.loads(path.read_text())
    for top in ("apps", "libs", "services")
    for path in sorted(ROOT.glob(f"{top}/*/pyproject.toml"))
}
"""The `pyproject.toml` of each, by its folder."""
NAMES = sorted(told["project"]["name"] for told in MEMBERS.values())
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=|==)?\s*([0-9.]*)")


def metadata(wheel: Path) -> Message:
    """Its core metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def requirements(wheel: Path) -> list[str]:
    """As they stand in it, with versions and markers; what only an extra asks for is left out."""
    return [one for one in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in one]


def name_of(requirement: str) -> str:
    """The name alone, in small letters."""
    found = REQUIREMENT.match(requirement)
    assert found, requirement
    return found[1].lower()


def least_versions(*wheels: Path) -> dict[str, str]:
    """The lowest version they take of each package that is not ours."""
    found = [REQUIREMENT.match(one) for wheel in wheels for one in requirements(wheel)]
    return {one[1].lower(): (one[2] or "1.0").rstrip(".") for one in found if one and one[1] not in NAMES}
