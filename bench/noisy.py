"""One tenant against all: what another tenant notices of it, and what it costs. python -m bench.noisy --help

A calm tenant sends a request every 0.1 s, alone, then beside each kind of noise and alone again, then beside all kinds
at once. Every one of its requests must be answered, the 95th percentile of their times at most 1.5 times that of the
quiet phases before and after, and the gateway must stay inside 512 MB, in a cgroup where one can be made. Bodies under
way may cost 2.5 times their bytes in the gateway and twice in the adapter.

`busy` is the CPU time of the gateway's loop, `kept waiting` how long it was ready and others had the CPU: where that is
the larger one, the machine is too busy to be measured on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import uvloop

from bench.confined import confined
from bench.measure import percentile
from bench.nexus import COMMAND, SETTINGS, NexusUp, backend_table, up
from bench.noise import KINDS
from bench.processes import Unusable, environment, free_port, running, until_open

MEMORY = 512 * 1024 * 1024
MODEL = "m"
EVERY = 0.1
TIMES = 1.5
MIB = 1024 * 1024
BODY_MEMORY = MEMORY // 4
"""What a gateway in so much memory takes of bodies by itself; here it is started outside."""
UNDER_WAY = BODY_MEMORY // 2
"""Of one tenant."""
TIMES_GATEWAY, TIMES_ADAPTER = 2.5, 2.0


@dataclass(slots=True)
class Phase:
    """What the calm tenant saw, what the noisy one was told, and what it cost."""

    name: str
    milliseconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    told: dict[str, dict[str, int]] = field(default_factory=dict)
    peak: int = 0
    adapter_peak: int = 0
    log_bytes: int = 0
    busy: float = 0.0
    waited: float = 0.0

    @property
    def p95(self) -> float:
        return percentile(self.milliseconds, 0.95)

    @property
    def answered(self) -> float:
        sent = len(self.milliseconds) + self.failed.total()
        return 100 * len(self.milliseconds) / max(1, sent)

    def holds(self, quiet: float) -> bool:
        return self.answered == 100 and self.p95 <= TIMES * quiet and self.peak <= MEMORY

    def line(self, quiet: float) -> str:
        verdict = "" if not self.told else ("held" if self.holds(quiet) else "NOT HELD")
        figures = (
            f"{len(self.milliseconds):>6} answered {self.answered:>6.2f} %",
            f"p50 {percentile(self.milliseconds, 0.5):>5.0f} ms",
            f"p95 {self.p95:>5.0f} ms {self.p95 / quiet:>5.2f} x",
            f"gateway {self.peak / MIB:>3.0f} MiB",
            f"adapter {self.adapter_peak / MIB:>3.0f} MiB",
            f"logs {self.log_bytes / 1024:>5.0f} KiB",
            f"busy {self.busy:>4.1f} s, kept waiting {self.waited:>4.1f} s",
        )
        return f"{self.name:<12}{'   '.join(figures)}   {verdict}"


async def calm(url: str, key: str, seconds: float, phase: Phase) -> None:
    """A tenant like any other: no retries, connections kept."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(30)) as session:

        async def once() -> None:
            began = time.perf_counter()
            try:
                async with session.post(url, json=body) as answer:
                    await answer.read()
                    if answer.status != 200:
                        phase.failed[f"status {answer.status}"] += 1
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                phase.failed[type(error).__name__] += 1
                return
            phase.milliseconds.append((time.perf_counter() - began) * 1e3)

        began, tasks = time.monotonic(), []
        for number in range(int(seconds / EVERY)):
            await asyncio.sleep(max(0.0, began + number * EVERY - time.monotonic()))
            tasks.append(asyncio.create_task(once()))
        await asyncio.gather(*tasks)


async def noise(kind: str, mesh: NexusUp, key: str, seconds: float) -> dict[str, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.noise", kind, mesh.host, str(mesh.port), str(seconds), MODEL,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=environment(), cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    output, _ = await process.communicate(f"{key}\n".encode())
    return dict(json.loads(output or b"{}"))


async def play(name: str, kinds: Sequence[str], mesh: NexusUp, keys: dict[str, str], seconds: float) -> Phase:
    """One phase. The calm tenant begins a second later, when the noise is there."""
    phase, pid = Phase(name), mesh.pids["gateway"][0]
    before, (busy, waited) = _log_bytes(mesh), _scheduled(pid)
    watching = asyncio.create_task(_watch(pid, mesh.pids["adapter"][0], phase))
    noises = [asyncio.create_task(noise(kind, mesh, keys["noisy"], seconds + 1)) for kind in kinds]
    if kinds:
        await asyncio.sleep(1)
    url = f"http://{mesh.host}:{mesh.port}/v1/chat/completions"
    await calm(url, keys["calm"], seconds, phase)
    told = await asyncio.gather(*noises)
    phase.told = dict(zip(kinds, told, strict=True))
    watching.cancel()
    phase.log_bytes = _log_bytes(mesh) - before
    if mesh.pids["gateway"][0] != pid:
        phase.failed["the gateway was ended"] += 1
    now_busy, now_waited = _scheduled(pid)
    phase.busy, phase.waited = max(0.0, now_busy - busy), max(0.0, now_waited - waited)
    return phase


async def _watch(gateway: int, adapter: int, phase: Phase) -> None:
    process, other = psutil.Process(gateway), psutil.Process(adapter)
    while process.is_running():
        phase.peak = max(phase.peak, process.memory_info().rss)
        phase.adapter_peak = max(phase.adapter_peak, other.memory_info().rss)
        await asyncio.sleep(0.02)


def _scheduled(pid: int) -> tuple[float, float]:
    """Seconds a process' first thread has run, and was ready to run; zeros where the system does not tell."""
    try:
        ran, ready, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0, 0.0
    return int(ran) / 1e9, int(ready) / 1e9


def _memory(phase: Phase, quiet: Phase) -> tuple[str, bool]:
    """What bodies under way cost, in their own bytes."""
    gateway = (phase.peak - quiet.peak) / UNDER_WAY
    adapter = (phase.adapter_peak - quiet.adapter_peak) / UNDER_WAY
    held = gateway <= TIMES_GATEWAY and adapter <= TIMES_ADAPTER
    text = f"{UNDER_WAY // MIB} MiB of bodies at once: {gateway:.2f} x in the gateway, {adapter:.2f} x in the adapter"
    return f"    {text}   {'held' if held else 'NOT HELD'}", held


def _log_bytes(mesh: NexusUp) -> int:
    return sum(file.stat().st_size for file in (mesh.layout.home / "logs").glob("*"))


async def create_keys(home: Path) -> dict[str, str]:
    """A key of each tenant."""
    keys: dict[str, str] = {}
    for tenant in ("calm", "noisy"):
        await _nexus(home, "tenants", "create", tenant)
        told = await _nexus(home, "keys", "create", tenant, "--tenant", tenant)
        keys[tenant] = str(json.loads(told)["secret"])
    return keys


async def _nexus(home: Path, *arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        str(COMMAND), *arguments, "--home", str(home), "--json",
        stdout=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise Unusable(f"nexus {' '.join(arguments)} failed: {output.decode(errors='replace').strip()}")
    return output


async def measure(folder: Path, kinds: Sequence[str], seconds: float) -> bool:
    """Plays every phase and prints it; whether all held."""
    port, log = free_port(), folder / "engine.log"
    command = (sys.executable, "-m", "bench.noisy_engine", str(port), MODEL)
    async with running(command, log, cwd=Path(__file__).parent.parent) as process:
        await until_open(port, process, log)
        settings = SETTINGS.replace("[gateway]\n", f"[gateway]\nbody_memory = {BODY_MEMORY // MIB}\n")
        settings += backend_table("box", port) + "max_concurrency = 64\n"
        async with up(folder / "home", settings) as mesh:
            keys = await create_keys(mesh.layout.home)
            await calm(
                f"http://{mesh.host}:{mesh.port}/v1/chat/completions", keys["calm"], 2, Phase("warm-up")
            )
            with confined(mesh.pids["gateway"][0], MEMORY) as held:
                print(f"gateway inside {MEMORY // MIB} MiB: {held.how}", flush=True)
                phases = [(kind, (kind,)) for kind in kinds]
                phases += [("all at once", tuple(kinds))] if len(kinds) > 1 else []
                quiet = await play("quiet", (), mesh, keys, seconds)
                print(quiet.line(quiet.p95), flush=True)
                verdicts: list[bool] = []
                for name, parts in phases:
                    phase = await play(name, parts, mesh, keys, seconds)
                    again = await play("quiet", (), mesh, keys, seconds)
                    around = (quiet.p95 + again.p95) / 2
                    print(phase.line(around), flush=True)
                    lost = f", lost {dict(phase.failed)}" if phase.failed else ""
                    print(f"    told {phase.told}{lost}", flush=True)
                    verdicts.append(phase.holds(around))
                    if parts == ("bodies",):
                        text, is_small = _memory(phase, quiet)
                        print(text, flush=True)
                        verdicts.append(is_small)
                    print(again.line(quiet.p95), flush=True)
                    quiet = again
            return all(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.noisy", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase (20)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-noisy-") as folder:
        try:
            return not uvloop.run(measure(Path(folder), arguments.only or tuple(KINDS), arguments.seconds))
        except Unusable as problem:
            sys.stderr.write(f"{problem}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
