"""Between messages and rows: what is checked of work, what is told of it. A row keeps the messages themselves."""

from __future__ import annotations

import re

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.store.v1 import work_pb2 as pb
from nexus_operations import SPECS
from nexus_tasks import State, Task

from nexus_store.convert import invalid, tenant, timestamp

__all__ = ["checked", "group_of", "kept", "seconds", "work_of"]

ID = re.compile(r"[0-9a-f]{32}")
MAX_FILES = 32
MAX_TEXT = 255

STATES = {
    State.WAITING: pb.WORK_STATE_QUEUED,
    State.READY: pb.WORK_STATE_QUEUED,
    State.RUNNING: pb.WORK_STATE_RUNNING,
    State.SUCCEEDED: pb.WORK_STATE_SUCCEEDED,
    State.FAILED: pb.WORK_STATE_FAILED,
    State.CANCELLED: pb.WORK_STATE_CANCELLED,
}
BESIDE = ("tenant", "id", "deadline_time")
"""What stands in columns of a row."""


def checked(request: pb.SubmitWorkRequest) -> None:
    """Raises INVALID_REQUEST."""
    tenant(request.tenant)
    if not ID.fullmatch(request.id):
        raise invalid("id", "has 32 of 0-9 and a-f")
    if request.operation not in SPECS:
        raise invalid("operation", "must name a kind of work")
    for name in ("model", "body"):
        if not getattr(request, name):
            raise invalid(name, "is missing")
    if len(request.files) > MAX_FILES or any(not 0 < len(each.name) <= MAX_TEXT for each in request.files):
        raise invalid("files", f"are at most {MAX_FILES}, each with a name")


def kept(request: pb.SubmitWorkRequest) -> bytes:
    """What a row keeps of it."""
    rest = pb.SubmitWorkRequest()
    rest.CopyFrom(request)
    for name in BESIDE:
        rest.ClearField(name)
    return rest.SerializeToString(deterministic=True)


def group_of(operation: int) -> str:
    """Under which tasks of one kind of work stand together. Raises INVALID_REQUEST."""
    if operation not in SPECS:
        raise invalid("operation", "must name a kind of work")
    return SPECS[operation].name


def seconds(time: Timestamp) -> float:
    return time.seconds + time.nanos / 1e9


def work_of(task: Task, payload: bytes, result: bytes | None, percent: int, retention: float) -> pb.Work:
    """`percent`: as its runner says, who may know better than the row."""
    asked = pb.SubmitWorkRequest.FromString(payload)
    over = task.finish_time is not None
    work = pb.Work(
        id=task.key or "",
        operation=asked.operation,
        model=asked.model,
        body=asked.body,
        files=asked.files,
        state=STATES[task.state],
        percent=100 if task.state is State.SUCCEEDED else max(percent, int(100 * task.progress)),
        attempt=task.attempt,
        create_time=timestamp(task.create_time),
        note=asked.note,
    )
    if over:
        work.finish_time.CopyFrom(timestamp(task.finish_time or 0.0))
        work.expire_time.CopyFrom(timestamp((task.finish_time or 0.0) + retention))
    if task.reason and task.state is not State.SUCCEEDED:
        work.error.reason, work.error.message = task.reason, task.message
    if result is not None:
        work.result.ParseFromString(result)
    return work
