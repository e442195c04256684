"""`python -m hosts`: two hosts in network namespaces, a mesh over them, a cable pulled and plugged in again."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import openai
from hosts import prerequisites
from hosts.checks import CHECKS, CheckFailed, ChecksOf
from hosts.network import Network, built
from hosts.stage import Stage, staged

FAULTS = (CheckFailed, TimeoutError, AssertionError, openai.OpenAIError, aiohttp.ClientError)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make e2e-hosts", description=__doc__)
    parser.add_argument("--keep-logs", type=Path, metavar="DIR", help="copy the logs of all processes there")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        name, folder = arguments.inside
        return asyncio.run(_check(Network(name), Path(folder), arguments.keep_logs))
    missing = prerequisites.missing()
    if missing:
        print("Two hosts cannot be made here:", *missing, sep="\n  ")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="nexus-hosts-") as folder, built() as network:
        # The checks are host A's own: its clients, its operator.
        checks = (*network.a.via, sys.executable, "-m", "hosts", *sys.argv[1:])
        try:
            return subprocess.run((*checks, "--inside", network.name, folder), check=False).returncode
        except KeyboardInterrupt:
            return 130


async def _check(network: Network, home: Path, logs: Path | None) -> int:
    results: list[bool] = []
    try:
        async with staged(network, home) as stage:
            for check in CHECKS:
                results += [passed async for passed in _run(check, stage)]
    except FAULTS as error:
        results.append(_report(False, "the mesh over both hosts starts and stops", repr(error)))
    finally:
        if logs is not None:
            _copy_logs(home, logs)
    print(f"\n{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


async def _run(check: ChecksOf, stage: Stage) -> AsyncIterator[bool]:
    """The outcomes of one function's checks; what it could not get to is a failure of its own."""
    try:
        async for name, detail in check(stage):
            yield _report(True, name, detail)
    except FAULTS as failure:
        yield _report(False, (check.__doc__ or check.__name__).rstrip("."), str(failure) or repr(failure))


def _report(passed: bool, name: str, detail: str) -> bool:
    print(f"{'ok  ' if passed else 'FAIL'}  {name:<52}  {detail}", flush=True)
    return passed


def _copy_logs(home: Path, target: Path) -> None:
    for log in home.rglob("*.log"):
        copy = target / log.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(log.read_bytes())


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
