"""Alembic, imported only when the store is not yet of this version: it is a quarter of the vault's memory."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

__all__ = ["SCRIPTS", "UnknownRevisionError", "upgrade"]

SCRIPTS = Path(__file__).parent / "migrations"
ALEMBIC = threading.Lock()  # alembic keeps the running environment in module globals


class UnknownRevisionError(Exception):
    """The store is of a revision that this version does not know."""


def upgrade(connection: Connection) -> None:
    """Runs what is missing in the connection's transaction. Raises UnknownRevisionError."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with ALEMBIC:
            command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownRevisionError from error
