"""One run of one subject: whole answers in a closed loop, or streams side by side."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from bench import answers
from bench.client import StreamReader, StreamResult, closed_loop, request
from bench.processes import Usage
from bench.subjects import Subject

__all__ = ["NS_PER_MS", "Figures", "medians", "percentile", "streams", "whole_answers"]

Figures = dict[str, float]
"""Metric -> value. Names end in their unit; `errors` counts requests that failed."""

NS_PER_MS = 1e6


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def medians(runs: Sequence[Figures]) -> Figures:
    """The median of each metric over the runs; errors are added up, for none may hide."""
    names = {name for run in runs for name in run}
    return {
        name: sum(run.get(name, 0) for run in runs)
        if name == "errors"
        else statistics.median(run[name] for run in runs if name in run)
        for name in sorted(names)
    }


async def whole_answers(subject: Subject, *, connections: int, seconds: float) -> Figures:
    """Requests per second, latencies, CPU for each request."""
    usage = _usage(subject)
    body = answers.request_body(answers.CHAT_MODEL)
    calls = await closed_loop(subject.chat, body, connections=connections, seconds=seconds)
    count = len(calls.latencies)
    cpu = {f"{name}_cpu_ms": spent * 1e3 / max(1, count) for name, spent in usage.read().items()}
    return {
        "rps": count / calls.seconds,
        "p50_ms": percentile(calls.latencies, 0.50) / NS_PER_MS,
        "p99_ms": percentile(calls.latencies, 0.99) / NS_PER_MS,
        "errors": float(sum(calls.errors.values())),
        **cpu,
    }


async def streams(subject: Subject, *, count: int, arrive: float, chunks: int, deadline: float) -> Figures:
    """`count` streams that arrive over `arrive` seconds; what is not finished at the deadline is cut and counted.

    They arrive at random moments, the same for every subject. In even steps, that are a multiple of the time between
    two chunks, all chunks of all streams come in a few bursts, and each new stream in the middle of one.
    """
    usage, began = _usage(subject), time.monotonic()
    body = request(subject.stream, answers.request_body(answers.STREAM_MODEL, chunks=chunks))
    results = [StreamResult(chunks) for _ in range(count)]
    readers: list[StreamReader] = []
    try:
        chance = random.Random(count)
        moments = sorted(chance.uniform(0, arrive) for _ in results)
        for moment, result in zip(moments, results, strict=True):
            await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
            if (reader := await _open(subject, body, result)) is not None:
                readers.append(reader)
        left = max(0.1, began + deadline - time.monotonic())
        if readers:
            await asyncio.wait([reader.done for reader in readers], timeout=left)
    finally:
        for reader in readers:
            reader.abandon()
    return _stream_figures(results, began, usage.read())


async def _open(subject: Subject, body: bytes, result: StreamResult) -> StreamReader | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(10):
            _, reader = await loop.create_connection(
                lambda: StreamReader(body, result), subject.stream.host, subject.stream.port
            )
    except (OSError, TimeoutError):
        result.error = "cannot connect"
        return None
    return reader


def _stream_figures(results: list[StreamResult], began: float, spent: Mapping[str, float]) -> Figures:
    total = sum(result.chunks for result in results)
    seconds = max(max(result.last for result in results) / 1e9 - began, 1e-3)
    first = [(result.first - result.began) / NS_PER_MS for result in results if result.first]
    errors = Counter(result.error for result in results if result.error)
    unfinished = errors.pop("not finished in time", 0)
    if errors:
        print(f"    errors: {dict(errors)}", flush=True)
    return {
        "chunks_per_s": total / seconds if total else 0.0,
        "ttft_p50_ms": percentile(first, 0.50),
        "ttft_p99_ms": percentile(first, 0.99),
        "errors": float(sum(errors.values())),
        "unfinished": float(unfinished),
        **{f"{name}_cpu_us": used * 1e6 / max(1, total) for name, used in spent.items()},
    }


def _usage(subject: Subject) -> Usage:
    return Usage({**subject.pids, "generator": (os.getpid(),)})
