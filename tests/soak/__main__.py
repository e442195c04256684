"""`make soak`: requests and restarts of backends for twenty minutes, through a whole mesh. Nothing may grow.

Memory is the resident set of a process, read every second. The first tenth of the time is for warming up, after as many
requests at once as there may be at any time. Of the rest the median of the first tenth is compared with the median of
the last: 2 % more is growth. Open files are counted at rest, after warming up and at the end: the least number in some
seconds without a request or a restart, all connections to backends having been cut before. Breakers are the gateway's
own gauge; those that are open after the last restart have to close under the requests that go on.
Runs of less than ten minutes show that all of it works, and judge no growth: caches still fill.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from soak.run import SHORTEST, Plan, soak


def main() -> int:
    arguments = _arguments()
    plan = Plan(
        seconds=60 * arguments.minutes,
        requests=arguments.requests or round(arguments.minutes * 5000),
        restarts=arguments.restarts or round(arguments.minutes * 500),
        backends=arguments.backends,
    )
    with tempfile.TemporaryDirectory(prefix="nexus-soak-") as folder:
        wrong = asyncio.run(soak(Path(folder), plan))
    growth = "no growth" if plan.seconds >= SHORTEST else "too short to judge growth"
    print(
        f"FAILED: {'; '.join(wrong)}" if wrong else f"held: {growth}, no open file left, every breaker closed"
    )
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--requests", type=int, help="in all; 5,000 a minute if not said")
    parser.add_argument("--restarts", type=int, help="of backends, in all; 500 a minute if not said")
    parser.add_argument("--backends", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
