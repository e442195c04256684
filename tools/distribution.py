"""What the one distribution needs: all that its members need of others, read from their files when it is built."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["MembersHook"]

NAME = re.compile(r"[A-Za-z0-9._-]+")


class MembersHook(MetadataHookInterface):
    """Sets the dependencies. Members are in the wheel, so it requires none: an index has strangers of their names."""

    def update(self, metadata: dict[str, object]) -> None:
        root = Path(self.root)
        projects = [
            tomllib.loads(path.read_text())["project"]
            for top in ("apps", "libs", "services")
            for path in root.glob(f"{top}/*/pyproject.toml")
        ]
        members = {project["name"] for project in projects}
        needed = {one for project in projects for one in project["dependencies"]}
        metadata["dependencies"] = sorted(one for one in needed if NAME.match(one)[0] not in members)
