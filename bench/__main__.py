"""Measures NEXUS beside its bare backend and its peers: python -m bench --help."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import resource
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from bench import profiling
from bench.backends import KINDS
from bench.budgets import judge
from bench.processes import Unusable
from bench.report import machine, markdown, save
from bench.run import SCENARIOS, run

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    arguments = _arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a thousand streams are two thousand sockets
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        try:
            return uvloop.run(_measure(arguments, Path(folder)))
        except Unusable as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("run", "profile"), default="run")
    parser.add_argument("--quick", action="store_true", help="one short round of each scenario")
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--skip-peers", action="store_true", help="measure NEXUS and the bare backend only")
    parser.add_argument("--backend", choices=KINDS, default="nginx", help="what answers whole requests")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument("--no-save", action="store_true", help="write nothing to bench/results")
    return parser.parse_args()


async def _measure(arguments: argparse.Namespace, folder: Path) -> int:
    measuring = asyncio.current_task()
    assert measuring is not None
    # A bench that is told to end stops what it started first, as with Ctrl-C.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)
    if arguments.what == "profile":
        await profiling.profile(folder, arguments.backend)
        return 0
    facts = machine()
    found, versions = await run(
        folder,
        only=arguments.only or SCENARIOS,
        quick=arguments.quick,
        peers=not arguments.skip_peers,
        backend_kind=arguments.backend,
    )
    facts |= versions
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    verdicts = judge(found)
    text = markdown(f"Bench of {day}{', quick' if arguments.quick else ''}", facts, found, verdicts)
    document = {"date": day, "quick": arguments.quick, "machine": facts, "scenarios": found}
    print(json.dumps(document, indent=1) if arguments.json else f"\n{text}")
    if not arguments.no_save:
        save(RESULTS, f"{day}{'-quick' if arguments.quick else ''}", text, document, verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
