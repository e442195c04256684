"""`make clients`: clients made from protos/ alone, and the examples, each at a mesh that is started for it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from clients.building import BUILDS, BuildFailed, Built
from clients.examples import EXAMPLES
from clients.generated import STEPS, run_generated
from support.examples import clients, served


def main() -> int:
    names = [*BUILDS, *EXAMPLES]
    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    parser.add_argument("names", nargs="*", default=names, help=f"of {', '.join(names)}")
    wanted = parser.parse_args().names
    if unknown := {*wanted} - {*names}:
        parser.error(f"{', '.join(sorted(unknown))}: there is {', '.join(names)}")
    results = [*_generated(wanted), *_examples([name for name in wanted if name in EXAMPLES])]
    print(f"\n{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


def _generated(wanted: list[str]) -> list[bool]:
    results: list[bool] = []
    built: dict[str, Built] = {}
    for language in (name for name in wanted if name in BUILDS):
        try:
            built[language] = BUILDS[language]()
        except BuildFailed as error:
            print(f"FAILED {language}: {error}")
            results += [False] * len(STEPS)
    if built:
        with tempfile.TemporaryDirectory(prefix="nexus-clients-") as folder:
            results += asyncio.run(run_generated(built, Path(folder)))
    return results


def _examples(wanted: list[str]) -> list[bool]:
    results: list[bool] = []
    places: dict[str, Path] = {}
    for name in wanted:
        try:
            places[name] = EXAMPLES[name].install(name)
        except BuildFailed as error:
            print(f"FAILED {name}: {error}")
            results.append(False)
    if places:
        with tempfile.TemporaryDirectory(prefix="nexus-examples-") as folder:
            results += asyncio.run(_run_examples(places, Path(folder)))
    return results


async def _run_examples(places: Mapping[str, Path], home: Path) -> list[bool]:
    async with served(home) as endpoint:
        results: list[bool] = []
        for name, place in places.items():
            row, since = clients()[name], endpoint.asked
            try:
                await EXAMPLES[name].check(endpoint, place)
                await endpoint.assert_tried(row.tried, since)
            except (AssertionError, TimeoutError) as error:
                print(f"FAILED {name}: {error}")
                results.append(False)
            else:
                versions = ", ".join(f"{package} {version}" for package, version in row.packages.items())
                print(f"ok     {name}: {', '.join(row.tried)} ({versions})")
                results.append(True)
    return results


if __name__ == "__main__":
    sys.exit(main())
