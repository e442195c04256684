"""What tables there are, one text for both databases, and how they come to be what this version needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nexus_mesh.core import MeshError, Reason

from nexus_database.session import Driver

__all__ = ["Schema"]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one owner. The first of `migrations` makes version 1, and so on; none is edited once released.

    Statements name the types of TYPES in braces. `name` begins what is kept about the tables (`<name>_schema`), and
    `title` is what people know them as. `newest`: a SELECT for the greatest revision of any row; with one the first
    migration makes `<name>_counter`. Empty: its rows have no revisions.
    """

    name: str
    title: str
    migrations: tuple[tuple[str, ...], ...]
    newest: str = ""

    def upgrade(self, driver: Driver, types: Mapping[str, str]) -> None:
        """Runs what is missing, in the driver's open transaction. Raises MeshError for a newer version's tables."""
        known = len(self.migrations)
        driver.run(f"CREATE TABLE IF NOT EXISTS {self.name}_schema (version INTEGER NOT NULL)")
        found = driver.rows(f"SELECT version FROM {self.name}_schema")
        version = int(found[0][0]) if found else 0
        if version > known:
            raise MeshError(
                Reason.STORE_UNAVAILABLE,
                f"The {self.title} has the form {version} of a newer NEXUS; this one knows {known}. Update it.",
            )
        for statements in self.migrations[version:]:
            for statement in statements:
                driver.run(statement.format_map(types))
        if version == 0:
            driver.run(f"INSERT INTO {self.name}_schema (version) VALUES (?)", (known,))
        elif version < known:
            driver.run(f"UPDATE {self.name}_schema SET version = ?", (known,))
