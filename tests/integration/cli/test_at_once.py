"""B7: homes that start at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from nexus_cli.layout import Layout
from nexus_cli.plan import Options
from nexus_cli.ports import USUAL, Ports
from nexus_cli.up import describe

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a bound port can't be another's to listen at"
)


def test_two_homes_that_start_at_once_get_different_ports(tmp_path: Path) -> None:
    """Both know the same ports from before, when each ran alone."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    starts = [context.Process(target=_start, args=(tmp_path / str(n), barrier, results)) for n in range(4)]
    for start in starts:
        start.start()
    chosen = [port for _ in starts for port in results.get(timeout=60)]
    for start in starts:
        start.join()
    assert len(set(chosen)) == len(chosen) == 4 * len(USUAL)


def _start(home: Path, barrier: Barrier, results: multiprocessing.Queue[list[int]]) -> None:
    layout = Layout(home)
    layout.prepare()
    with Ports() as ports:
        barrier.wait()
        mesh = describe(Options(home, port=0), layout, ports)
        results.put(list(mesh.ports.values()))
        barrier.wait()
