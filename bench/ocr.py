"""Measures reading through a whole mesh: characters that are wrong, of pages as printed and as scanners see them.

python -m bench.ocr
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import aiohttp
from nexus_cli.plan import Options
from nexus_cli.progress import Progress
from nexus_cli.up import running_mesh

from tests.support.papers import STORY, as_file, as_pdf, error_rate, page, scanned

MODEL = "rapidocr"
WANTED = 0.02
"""Of all characters together."""
LEDGER = (
    "Invoice 2026-1187 of 3 November: 12 coils of rope at 48.20 each, 4 lamps at 19.75, one anchor at 1,230.00. "
    "Discount 5 %, payable within 30 days to the harbour fund, reference HF/77-B.\n\nQuestions? Ask at desk 6 or "
    "write to office@harbour.example; we answer from Monday to Friday, 8:30 to 16:00."
)
SIZES = (22, 28, 36)
"""Pixels at 200 dots an inch: 8, 10 and 13 points."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    text: str
    data: bytes


def cases(seeds: int) -> Iterator[Case]:
    for size in SIZES:
        for name, text in (("story", STORY), ("invoice", LEDGER)):
            printed = page(text, size)
            yield Case(f"{name}, {size} px, printed", text, as_file(printed))
            for seed in range(seeds):
                askew = scanned(printed, seed, degrees=0.4 + 0.4 * seed)
                yield Case(f"{name}, {size} px, scanned PDF {seed}", text, as_pdf([askew]))


async def read(session: aiohttp.ClientSession, data: bytes) -> str:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("model", MODEL)
    form.add_field("format", "text")
    form.add_field("file", BytesIO(data), filename="page")
    async with session.post("/v1/ocr", data=form) as answer:
        answer.raise_for_status()
        return await answer.text()


async def measure(seeds: int) -> float:
    """The rate of errors of all of them."""
    wrong = total = 0.0
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as folder:
        options = Options(home=Path(folder), port=0, discovery=False, speech=False, painter=False)
        async with (
            running_mesh(options, Progress(quiet=True)) as (mesh, _),
            aiohttp.ClientSession(mesh.http) as session,
        ):
            await until_it_reads(session)
            print("| page | characters | wrong, % | seconds |\n|---|---|---|---|")
            for case in cases(seeds):
                started = time.perf_counter()
                rate = error_rate(case.text, await read(session, case.data))
                seconds = time.perf_counter() - started
                wrong, total = wrong + rate * len(case.text), total + len(case.text)
                print(f"| {case.name} | {len(case.text)} | {100 * rate:.2f} | {seconds:.1f} |", flush=True)
    print(
        f"\nCharacter error rate of {total:.0f}: {100 * wrong / total:.2f} % (wanted: {100 * WANTED:.0f} %)"
    )
    return wrong / total


async def until_it_reads(session: aiohttp.ClientSession) -> None:
    while True:
        with suppress(aiohttp.ClientError):
            async with session.get(f"/v1/models/{MODEL}") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ocr", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="scans of each page")
    if asyncio.run(measure(parser.parse_args().seeds)) > WANTED:
        sys.exit(1)


if __name__ == "__main__":
    main()
