"""A durable work table: tasks accepted once, claimed in batches under leases, finished once; SQLite or PostgreSQL."""

from nexus_tasks.retries import DEADLINE, RETRIES, WORKER_LOST, Retries, Retry
from nexus_tasks.table import TaskTable, open_tasks
from nexus_tasks.types import FINAL, Changes, Claim, Counts, NewTask, State, Task
from nexus_tasks.worker import Done, Handler, work

__all__ = [
    "DEADLINE",
    "FINAL",
    "RETRIES",
    "WORKER_LOST",
    "Changes",
    "Claim",
    "Counts",
    "Done",
    "Handler",
    "NewTask",
    "Retries",
    "Retry",
    "State",
    "Task",
    "TaskTable",
    "open_tasks",
    "work",
]
