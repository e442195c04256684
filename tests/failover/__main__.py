"""`make failover`: the whole exam, with default and with short time limits, and a burst for each kind.

A line for each case, and what broke its rules below it; the last line has the sum of all.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from failover.cases import CASES, KINDS, Case
from failover.judging import Verdict, sum_up
from failover.play import burst, play
from failover.stage import DEFAULT, SHORT, Setting, staged

SETTINGS = {setting.name: setting for setting in (SHORT, DEFAULT)}
SHOWN = 5
"""Of what is wrong with a case, so many lines."""


def main() -> int:
    arguments = _arguments()
    cases = [case for case in CASES if arguments.only.lower() in str(case).lower()]
    with tempfile.TemporaryDirectory(prefix="nexus-failover-") as folder:
        verdicts = asyncio.run(_exam(Path(folder), arguments, cases))
    print(sum_up(verdicts))
    return 1 if any(verdict.wrong for verdict in verdicts) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make failover", description=__doc__)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=[*SETTINGS], help="time limits")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help=f"cases with these words; {', '.join(KINDS)}"
    )
    parser.add_argument("--forms", nargs="+", choices=("cases", "bursts"), default=["cases", "bursts"])
    parser.add_argument("--burst", type=int, default=200, metavar="N", help="requests of a burst")
    parser.add_argument("--rate", type=float, default=10.0, help="requests of a burst per second")
    parser.add_argument("--pace", type=float, default=0.0, metavar="SECONDS", help="rest between two cases")
    return parser.parse_args()


async def _exam(folder: Path, arguments: argparse.Namespace, cases: Sequence[Case]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for name in arguments.settings:
        setting = SETTINGS[name]
        if "cases" in arguments.forms:
            verdicts += await _cases(folder / f"{name}-cases", setting, cases, arguments.pace)
        if "bursts" in arguments.forms:
            verdicts += await _bursts(folder / f"{name}-bursts", setting, cases, arguments)
    return verdicts


async def _cases(home: Path, setting: Setting, cases: Sequence[Case], pace: float) -> list[Verdict]:
    verdicts: list[Verdict] = []
    async with staged(home, setting, cases) as stage:
        for seat in stage.seats:
            verdicts.append(await play(stage, seat))
            _tell(f"{setting.name}, case", verdicts[-1])
            await asyncio.sleep(pace)
    return verdicts


async def _bursts(
    home: Path, setting: Setting, cases: Sequence[Case], arguments: argparse.Namespace
) -> list[Verdict]:
    """Streams that break with content out only where they are resumed: else an explicit error is all that is due."""
    chosen = [case for case in cases if case.stands_for_kind and case.due != "told"]
    verdicts: list[Verdict] = []
    async with staged(home, setting, chosen) as stage:
        for seat in stage.seats:
            verdicts.append(await burst(stage, seat, arguments.burst, arguments.rate))
            _tell(f"{setting.name}, burst", verdicts[-1])
    return verdicts


def _tell(where: str, verdict: Verdict) -> None:
    print(f"{where:<16} {verdict.case!s:<58} {verdict.state:<9} {verdict.what_came}", flush=True)
    rest = len(verdict.wrong) - SHOWN
    for line in [*verdict.wrong[:SHOWN], *([f"and {rest} more"] if rest > 0 else [])]:
        print(f"{'':<17}{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
