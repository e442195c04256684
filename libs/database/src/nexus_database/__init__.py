"""Durable rows: calls that wait share a transaction and its fsync; SQLite or PostgreSQL, one text for both."""

from nexus_database.commits import Commits
from nexus_database.opening import open_database
from nexus_database.schema import Schema
from nexus_database.session import CollisionError, Driver, Row, Session

__all__ = ["CollisionError", "Commits", "Driver", "Row", "Schema", "Session", "open_database"]
