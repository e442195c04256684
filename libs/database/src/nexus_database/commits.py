"""Group commit: what is asked while the last transaction goes to the disk is the next transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_database.schema import Schema
from nexus_database.session import Driver, Fault, Session

__all__ = ["Commits"]

T = TypeVar("T")

GROUP = 256
"""Calls of one transaction at most."""
WAITING = 10_000
"""Calls that may wait for theirs; more are refused."""
ATTEMPTS = 5
"""For a transaction that met another one."""

QUIET = 10.0
"""Seconds until the same failure is logged again: a full disk is no reason to fill it further."""

TOLD = {
    Fault.FULL: "The {title}'s disk is full. Nothing of this request was kept, and what was accepted before "
    "is still there: make room, then send it again.",
    Fault.DISK: "The {title}'s disk did not take the request: it may be full (a quota and a limit on the size of "
    "files count too) or failing. Whether it was kept is not known, what was accepted before is still there: "
    "make room, then send it again with its idempotency key.",
    Fault.STORE: "The {title}'s database did not take the request; whether it kept it is not known. "
    "The log names the cause. Sent again with its idempotency key it counts once.",
    Fault.BUSY: "The {title} is held by another process. Nothing of this request was kept: send it again.",
    Fault.AGAIN: "The {title} is too busy: this request met others again and again. "
    "Nothing of it was kept: send it again.",
}
RETRY_AFTER = {Fault.FULL: 30.0, Fault.DISK: 30.0, Fault.STORE: 1.0, Fault.BUSY: 1.0, Fault.AGAIN: 1.0}

log = telemetry.logger("database")


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    work: Callable[[Session], T]
    future: asyncio.Future[T]
    undo: Callable[[Session, T], object] | None
    """Of what nobody waits for any more."""


Outcome = tuple[_Call[Any], object, Exception | None]


class Commits:
    """A thread that writes and one that reads, each with a connection of its own.

    `writer` and `reader` are opened and used there only. `committed` is called in the event loop, after callers
    have their answers, when something changed.
    """

    def __init__(
        self,
        writer: Driver,
        reader: Driver,
        schema: Schema,
        clock: Callable[[], float],
        committed: Callable[[], None],
    ) -> None:
        self._title = schema.title
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._reading = ThreadPoolExecutor(1, f"{schema.name}-reader")
        self._thread = threading.Thread(target=self._serve, name=f"{schema.name}-writer", daemon=True)
        self._closed = False
        self._logged: tuple[str, float] | None = None

    async def open(self) -> None:
        """Raises MeshError when the database can't be opened or upgraded; then nothing is left running."""
        try:
            await asyncio.to_thread(self._upgrade)
        except BaseException:
            self._reading.shutdown(wait=False)
            raise
        self._thread.start()

    def _upgrade(self) -> None:
        # A connection belongs to the thread that opened it, so this one does not stay.
        try:
            self._writer.upgrade()
        except MeshError:
            raise
        except Exception as error:
            log.error("tables can't be opened", tables=self._title, cause=self._writer.cause(error))
            raise MeshError(
                Reason.STORE_UNAVAILABLE,
                f"The {self._title} can't be opened ({self._writer.cause(error)}): its database must be there, "
                f"readable and writable by this account, and be a {self._title} or empty.",
            ) from None
        finally:
            self._writer.rollback()
            self._writer.close()

    async def write(
        self, work: Callable[[Session], T], undo: Callable[[Session, T], object] | None = None
    ) -> T:
        """Runs `work` in a transaction, perhaps with others' work, and returns when that is on the disk. Was the
        caller cancelled meanwhile, `undo` is run in a later one.

        `work` may raise MeshError, which its caller gets, as long as it has not written anything; it may be run again.
        Raises OVERLOAD, and STORE_UNAVAILABLE.
        """
        self._check_open()
        if self._calls.qsize() >= WAITING:
            raise MeshError(
                Reason.OVERLOAD,
                f"{WAITING} calls wait for the {self._title} already: try later.",
                retry_after=1.0,
            )
        call = _Call(work, self._loop.create_future(), undo)
        self._calls.put(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            if call.future.done() and not call.future.cancelled() and call.future.exception() is None:
                self._undo(call, call.future.result())  # cancelled between its answer and its turn
            raise

    async def read(self, work: Callable[[Driver], T]) -> T:
        """Sees everything that was acknowledged. Raises STORE_UNAVAILABLE, and what `work` raises."""
        self._check_open()
        return await self._loop.run_in_executor(self._reading, self._read, work)

    def _read(self, work: Callable[[Driver], T]) -> T:
        try:
            return work(self._reader)
        except MeshError:
            raise
        except Exception as error:
            self._reader.rollback()
            self._reader.close()
            raise self._told(self._reader, error) from None

    def _check_open(self) -> None:
        if self._closed:
            raise MeshError(Reason.DRAINING, f"The {self._title} is closed.")

    def _serve(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            if group:
                self._deliver(self._commit(group))
        self._writer.close()

    def _next_group(self) -> tuple[list[_Call[Any]], bool]:
        group: list[_Call[Any]] = []
        one = self._calls.get()
        while one is not None:
            if not one.future.cancelled():
                group.append(one)
            if len(group) == GROUP or self._calls.empty():
                return group, False
            one = self._calls.get()
        return group, True

    def _commit(self, group: list[_Call[Any]]) -> list[Outcome]:
        fault, told = Fault.OURS, Exception()
        for attempt in range(ATTEMPTS):
            try:
                return self._transact(group)
            except Exception as error:
                self._writer.rollback()
                fault, told = self._writer.fault(error), error
            if fault in (Fault.DISK, Fault.STORE, Fault.BUSY):
                break
            if len(group) > 1:
                # One of them is to blame, or too large: the others need not suffer for it.
                return [outcome for call in group for outcome in self._commit([call])]
            if fault is not Fault.AGAIN:
                break
            time.sleep(0.002 * 2**attempt)
        if fault in (Fault.DISK, Fault.STORE):
            self._writer.close()
        refusal = told if fault is Fault.OURS else self._told(self._writer, told)
        return [(call, None, refusal) for call in group]

    def _transact(self, group: list[_Call[Any]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self._writer.begin()
        session = Session(self._writer, self._clock())
        for call in group:
            try:
                outcomes.append((call, call.work(session), None))
            except MeshError as refusal:
                outcomes.append((call, None, refusal))
        self._writer.commit()
        if session.wrote:
            self._loop_soon(self._committed)
        if session.scrub:
            self._scrub()
        return outcomes

    def _scrub(self) -> None:
        try:
            self._writer.scrub()
        except Exception as error:
            log.warning(
                "what was erased may linger in the log of the database", cause=self._writer.cause(error)
            )

    def _told(self, driver: Driver, error: Exception) -> MeshError:
        fault, cause = driver.fault(error), driver.cause(error)
        now = time.monotonic()
        if self._logged is None or self._logged[0] != cause or now > self._logged[1] + QUIET:
            log.error("tables failed", tables=self._title, cause=cause)
            self._logged = cause, now
        if fault not in TOLD:
            return MeshError(Reason.INTERNAL, f"The {self._title} failed ({cause}): a fault of NEXUS.")
        return MeshError(
            Reason.STORE_UNAVAILABLE, TOLD[fault].format(title=self._title), retry_after=RETRY_AFTER[fault]
        )

    def _deliver(self, outcomes: list[Outcome]) -> None:
        self._loop_soon(lambda: self._answer(outcomes))

    def _answer(self, outcomes: list[Outcome]) -> None:
        for call, result, error in outcomes:
            if call.future.done():
                if error is None:
                    self._undo(call, result)
            elif error is None:
                call.future.set_result(result)
            else:
                call.future.set_exception(error)

    def _undo(self, call: _Call[Any], result: object) -> None:
        if call.undo is not None:
            undoing = partial(_undo, call.undo, result)
            self._calls.put(_Call(undoing, self._loop.create_future(), None))

    def _loop_soon(self, then: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(then)
        except RuntimeError:
            log.warning("the event loop ended before tables were closed")

    async def close(self) -> None:
        """Lets what was asked end; what is asked later is refused."""
        if self._closed:
            return
        self._closed = True
        self._calls.put(None)
        await asyncio.to_thread(self._thread.join)
        await self._loop.run_in_executor(self._reading, self._reader.close)
        self._reading.shutdown()


def _undo(undo: Callable[[Session, Any], object], result: object, session: Session) -> None:
    try:
        undo(session, result)
    except MeshError as refusal:
        log.warning("what nobody waits for was not undone", reason=refusal.reason)
