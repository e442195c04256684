"""The tables, one schema for both databases; migrations by number, never edited once released."""

from __future__ import annotations

from nexus_database import Schema

__all__ = ["SCHEMA"]

FIRST = (
    "CREATE TABLE task_counter (revision {int64} NOT NULL)",
    "INSERT INTO task_counter (revision) VALUES (0)",
    """CREATE TABLE tasks (
        id {number},
        tenant {text} NOT NULL,
        kind {text} NOT NULL,
        idempotency_key {text},
        digest {blob},
        grouping_name {text} NOT NULL,
        priority INTEGER NOT NULL,
        state INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        epoch {int64} NOT NULL,
        worker {text} NOT NULL,
        lease_until {float64},
        run_after {float64} NOT NULL,
        deadline {float64},
        progress {float64} NOT NULL,
        message {text} NOT NULL,
        reason {text} NOT NULL,
        create_time {float64} NOT NULL,
        finish_time {float64},
        revision {int64} NOT NULL
    )""",
    # Apart, so that a change of state doesn't write a megabyte again.
    "CREATE TABLE task_payloads (id {int64} PRIMARY KEY, payload {blob} NOT NULL)",
    "CREATE TABLE task_results (id {int64} PRIMARY KEY, result {blob} NOT NULL)",
    "CREATE UNIQUE INDEX tasks_key ON tasks (tenant, kind, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX tasks_group ON tasks (tenant, grouping_name, id)",
    "CREATE INDEX tasks_waiting ON tasks (run_after) WHERE state = 0",
    "CREATE INDEX tasks_ready ON tasks (kind, priority, run_after, id) WHERE state = 1",
    "CREATE INDEX tasks_running ON tasks (lease_until) WHERE state = 2",
    "CREATE INDEX tasks_deadline ON tasks (deadline) WHERE deadline IS NOT NULL AND state < 3",
    "CREATE INDEX tasks_finished ON tasks (finish_time) WHERE finish_time IS NOT NULL",
    "CREATE INDEX tasks_revision ON tasks (revision, id)",
)

SCHEMA = Schema("task", "task table", (FIRST,), "SELECT coalesce(max(revision), 0) FROM tasks")
