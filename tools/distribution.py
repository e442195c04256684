"""The members of the workspace as one distribution: hatchling asks here for its files and for what it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TypedDict

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilderConfig
from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["MembersFiles", "MembersNeeds"]

NAME = re.compile(r"[A-Za-z0-9._-]+")


class Project(TypedDict):
    name: str
    dependencies: list[str]


class MembersNeeds(MetadataHookInterface):
    """Requires no member, for they are in the wheel and an index has strangers of their names; only what they need."""

    def update(self, metadata: dict[str, object]) -> None:
        projects = _members(self.root).values()
        own = {project["name"] for project in projects}
        needed = {one for project in projects for one in project["dependencies"]}
        metadata["dependencies"] = sorted(one for one in needed if not own & set(NAME.findall(one)[:1]))


class MembersFiles(BuildHookInterface[WheelBuilderConfig]):
    """Puts side by side what lies in the `src` of each member; installed editable, says where each is."""

    def initialize(self, version: str, build_data: dict[str, dict[str, str]]) -> None:
        sources = [member / "src" for member in _members(self.root)]
        if version == "editable":
            places = [str(source.relative_to(self.root)) for source in sources]
            self.build_config.target_config["dev-mode-dirs"] = places
        else:
            build_data["force_include"].update(dict.fromkeys(map(str, sources), "/"))


def _members(root: str) -> dict[Path, Project]:
    return {
        path.parent: tomllib.loads(path.read_text())["project"]
        for top in ("apps", "libs", "services")
        for path in sorted(Path(root).glob(f"{top}/*/pyproject.toml"))
    }
