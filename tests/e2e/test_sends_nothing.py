"""NEXUS sends nothing anywhere: every packet that leaves a machine is counted while a mesh starts, serves and stops.

The machine has a way out and a name server, both at the far end of its cable, where whatever is sent would be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from support.e2e_cli import NEXUS, environment, running
from support.lan import Lan, lan, why_not
from support.live_mesh import backend
from support.packets import TCP, UDP, Packet, Watch, watching

MDNS = {Packet("224.0.0.251", 5353, UDP), Packet("ff02::fb", 5353, UDP)}
ASKED = (("chat", "--model", "nexus-demo", "What is NEXUS?"), ("status",), ("models",), ("doctor",))
IN_THE_BOX = '[[backends]]\nname = "demo"\nkind = "embedded"\n'
ENGINE, INDEX = (Packet("192.168.1.20", port, TCP) for port in (9000, 9001))


@pytest_asyncio.fixture
async def net() -> AsyncIterator[Lan]:
    if why := await why_not():
        pytest.skip(f"nothing can be counted: {why}")
    async with lan() as net:
        yield net


@pytest.fixture
def via(net: Lan, tmp_path: Path) -> tuple[str, ...]:
    """On the first machine, where names are asked of the second one."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {net.second.address}\noptions timeout:1 attempts:1\n")
    mounted = f'mount --bind {resolver} /etc/resolv.conf && exec "$@"'
    return (*net.first.via, "unshare", "--mount", "sh", "-c", mounted, "sh")


async def ran(*command: str | Path, home: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(home), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def a_day_with_it(
    watch: Watch, via: tuple[str, ...], home: Path, *flags: str, more: Sequence[Sequence[str]] = ()
) -> set[Packet]:
    """A start, a chat, a look, a stop; returns what has left the machine by then. `more` is typed too, and may fail."""
    async with running(home, "up", *flags, "--home", str(home), via=via) as mesh:
        assert mesh.said["state"] == "ready"
        for words in ASKED:
            status, out = await ran(*via, NEXUS, *words, "--home", home, home=home)
            assert status == 0 or words == ("doctor",), out  # it may find something
        for words in more:
            await ran(*via, NEXUS, *words, "--home", home, home=home)
        assert await mesh.stop() == 0
    return await watch.seen()


async def test_the_watch_sees_what_programs_send(net: Lan, via: tuple[str, ...], tmp_path: Path) -> None:
    """Else the others would prove nothing: a look-up of a name, a connection far away, by either protocol."""
    say = """
import socket
for family, address in ((socket.AF_INET, "203.0.113.7"), (socket.AF_INET6, "2001:db8::7")):
    one = socket.socket(family)
    one.setblocking(False)
    one.connect_ex((address, 443))
try:
    socket.getaddrinfo("telemetry.example.com", 443)
except OSError:
    pass
"""
    async with watching(net.first, net.second) as watch:
        status, out = await ran(*via, "python3", "-c", say, home=tmp_path)
        assert status == 0, out
        assert await watch.seen() == {
            Packet("203.0.113.7", 443, TCP), Packet("2001:db8::7", 443, TCP), Packet("192.168.1.20", 53, UDP),
        }  # fmt: skip


async def test_without_discovery_no_packet_leaves(net: Lan, via: tuple[str, ...], tmp_path: Path) -> None:
    async with watching(net.first, net.second) as watch:
        assert await a_day_with_it(watch, via, tmp_path, "--no-discovery") == set()


@pytest.mark.parametrize(("settings", "asks"), [("", True), ('[adapter]\nmdns = "off"\n', False)])
async def test_discovery_asks_the_local_network_at_most(
    net: Lan, via: tuple[str, ...], tmp_path: Path, settings: str, asks: bool
) -> None:
    (tmp_path / "nexus.toml").write_text(settings)
    async with watching(net.first, net.second) as watch:
        seen = await a_day_with_it(watch, via, tmp_path)
    assert bool(seen) is asks
    assert seen <= MDNS


async def test_a_backend_elsewhere_is_asked_and_nobody_else(
    net: Lan, via: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "nexus.toml").write_text(backend("far", f"http://{ENGINE.to}:{ENGINE.port}") + IN_THE_BOX)
    async with watching(net.first, net.second) as watch:
        assert await a_day_with_it(watch, via, tmp_path, "--no-discovery") == {ENGINE}


async def test_a_pull_asks_the_index_that_is_set_and_nobody_else(
    net: Lan, via: tuple[str, ...], tmp_path: Path
) -> None:
    """It does not answer, and that makes no other one of use."""
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nindex-url = http://{INDEX.to}:{INDEX.port}/simple\n")
    async with watching(net.first, net.second) as watch:
        pull = ("pull", "smollm2:135m")
        assert await a_day_with_it(watch, via, tmp_path, "--no-discovery", more=[pull]) == {INDEX}
