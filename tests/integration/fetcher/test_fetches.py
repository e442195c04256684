"""The fetcher's process before servers of strangers: what it brings, what it does not, and where it never goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import psutil
import pytest
from nexus_fetcher import Fetched, Fetcher, Rules, Unfetched
from support.attacks import Attacks
from support.waiting import eventually
from support.web_server import PNG, WebServer, shut_doors, web_server

IMAGES = frozenset({"image/png", "image/jpeg", "application/octet-stream"})


@asynccontextmanager
async def fetching(*private: str, **answers: tuple[tuple[str, ...], ...]) -> AsyncIterator[Fetcher]:
    """`answers`: of names, with - for their dots."""
    fetcher = Fetcher(Rules(private, {name.replace("_", "."): each for name, each in answers.items()}))
    try:
        yield fetcher
    finally:
        await fetcher.close()


@asynccontextmanager
async def before_a_server() -> AsyncIterator[tuple[Fetcher, WebServer]]:
    """A fetcher that may go to a server."""
    async with web_server() as server, fetching(f"127.0.0.1:{server.port}") as fetcher:
        yield fetcher, server


async def why(fetcher: Fetcher, url: str, most: int = 1 << 20) -> str:
    with pytest.raises(Unfetched) as refused:
        await fetcher.fetch(url, accepts=IMAGES, most=most)
    assert "secret" not in refused.value.why
    return refused.value.why


async def test_what_there_is_comes_whole() -> None:
    async with before_a_server() as (fetcher, server):
        assert fetcher.pid is None, "no process before the first URL"
        fetched = await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES, most=len(PNG))
        assert fetched == Fetched(PNG, "image/png")
        head = server.asked[0].lower()
        assert "accept-encoding: identity" in head
        assert "cookie" not in head
        assert "authorization" not in head
        large = await fetcher.fetch(server.url("/large?size=20971520"), accepts=IMAGES)
        assert len(large.data) == 20 << 20
        hops = await fetcher.fetch(server.url("/hops?left=2"), accepts=IMAGES)
        assert hops.data == PNG


async def test_many_at_once_and_the_process_leaves_when_idle() -> None:
    async with web_server() as server:
        fetcher = Fetcher(Rules((f"127.0.0.1:{server.port}",)), idle=0.1)
        came = await asyncio.gather(
            *(fetcher.fetch(server.url("/picture.png"), accepts=IMAGES) for _ in range(40))
        )
        assert {one.data for one in came} == {PNG}

        await eventually(lambda: fetcher.pid is None, what="the end of an idle fetcher")
        assert (await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES)).data == PNG
        await fetcher.close()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/missing", "status 404"), ("/page", "must lead to one of"), ("/cut", "broke its answer off"),
        ("/hops?left=3", "more than 3 redirects"), ("/hops?left=10", "more than 3 redirects"),
        ("/bomb", "compressed"), ("/large?size=1048577", "1048576 bytes"), ("/endless", "1048576 bytes"),
        ("/endless-head", "broke its answer off"), ("/slow", "within 5 s"), ("/silent", "within 5 s"),
        ("/to?url=http%3A%2F%2F%5B", "has no host"),
    ],
)  # fmt: skip
@pytest.mark.security
async def test_what_is_not_all_there_or_not_what_was_asked_for_is_refused(path: str, told: str) -> None:
    async with before_a_server() as (fetcher, server):
        assert told in await why(fetcher, server.url(path))
        assert (await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES)).data == PNG, "and it lives"


@pytest.mark.security
async def test_memory_stays_within_bounds_whatever_comes() -> None:
    async with before_a_server() as (fetcher, server):
        await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES)
        child = psutil.Process(fetcher.pid)
        before, most = child.memory_info().rss, 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, child.memory_info().rss)
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        for path in ("/bomb", "/endless", "/endless-head"):
            assert await why(fetcher, server.url(path))
        watching.cancel()
        assert most - before < 16 << 20


def spelled(port: int) -> list[str]:
    """The ways to spell an address of this machine, and names that lead to one."""
    hosts = [
        "127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "user@127.0.0.1", "good.tld@127.0.0.1", "[fe80::1%25lo]", "[fd00::1]",
        "[0:0:0:0:0:ffff:127.0.0.1]", "127.0.0.1.", "private.test", "both.test", "mapped.test", "nat64.test",
        "zone.test", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    ]  # fmt: skip
    urls = [f"http://{host}:{port}/" for host in hosts] + [f"https://127.0.0.1:{port}/"]
    schemes = [
        f"{scheme}://127.0.0.1:{port}/" for scheme in ("gopher", "ftp", "dict", "ws", "ldap", "unix", "HTTP ")
    ]
    return [
        *urls, *schemes, "http://169.254.169.254/", "file:///etc/passwd", "http://10.0.0.1/", "http://private.test/",
        "http://metadata.test/",
    ]  # fmt: skip


NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "private_test": (("127.0.0.1",),),
    "both_test": (("93.184.216.34", "127.0.0.1"),),
    "mapped_test": (("::ffff:127.0.0.1",),),
    "nat64_test": (("64:ff9b::7f00:1",),),
    "zone_test": (("fe80::1%lo",),),
    "metadata_test": (("169.254.169.254",),),
}


@pytest.mark.security
async def test_no_spelling_leads_to_this_machine(attacks: Attacks) -> None:
    async with shut_doors() as doors, fetching(**NAMES) as fetcher:
        for url in spelled(doors.port):
            attacks.count()
            assert await why(fetcher, url)
        assert doors.opened == 0


@pytest.mark.security
async def test_the_port_that_is_allowed_is_no_way_around(attacks: Attacks) -> None:
    """With the port out of the way it is the address that refuses: of names at the usual ports, by what they tell."""
    async with fetching(**NAMES) as fetcher:
        told = set[str]()
        for name in NAMES:
            attacks.count()
            told.add(await why(fetcher, f"http://{name.replace('_', '.')}/"))
        told.add(await why(fetcher, "http://not-there.invalid/"))
        assert len(told) == 1, "whether our resolver knows a name is nobody's to learn"


@pytest.mark.security
async def test_no_redirect_leads_there_either(attacks: Attacks) -> None:
    async with (
        shut_doors() as doors,
        web_server() as server,
        fetching(f"127.0.0.1:{server.port}", **NAMES) as fetcher,
    ):
        for url in spelled(doors.port):
            for status in ("301", "307"):
                attacks.count()
                assert await why(fetcher, server.url(f"/to?status={status}&url={quote(url, safe='')}"))
        assert doors.opened == 0


@pytest.mark.security
async def test_a_name_is_looked_up_once_and_that_address_connected_to() -> None:
    """The second answer would lead elsewhere: both are this machine's, so that a connection would be seen."""
    async with web_server("127.0.0.2") as server, shut_doors(["127.0.0.1"]) as doors:
        port = server.port
        async with fetching(f"rebind.test:{port}", rebind_test=(("127.0.0.2",), ("127.0.0.1",))) as fetcher:
            fetched = await fetcher.fetch(f"http://rebind.test:{port}/picture.png", accepts=IMAGES)
            assert fetched.data == PNG
            assert f"host: rebind.test:{port}" in server.asked[0].lower()
        async with fetching(rebind_test=(("192.0.2.1",), ("127.0.0.1",))) as fetcher:
            for _ in range(3):
                assert "public address" in await why(fetcher, "http://rebind.test/")
        assert doors.opened == 0


async def test_a_killed_process_is_an_explicit_failure_and_another_comes() -> None:
    async with before_a_server() as (fetcher, server):
        running = asyncio.create_task(why(fetcher, server.url("/silent")))
        await eventually(lambda: server.connections, what="a fetch under way")
        assert fetcher.pid is not None
        os.kill(fetcher.pid, 9)
        assert "ended" in await running
        assert (await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES)).data == PNG


async def test_who_leaves_ends_the_connection() -> None:
    async with before_a_server() as (fetcher, server):
        running = asyncio.create_task(fetcher.fetch(server.url("/silent"), accepts=IMAGES))

        def connections() -> int:
            if fetcher.pid is None:
                return 0
            return sum(
                one.raddr.port == server.port
                for one in psutil.Process(fetcher.pid).net_connections()
                if one.raddr
            )

        await eventually(lambda: connections() == 1, what="a fetch under way")
        running.cancel()
        await eventually(lambda: connections() == 0, what="its end")


@pytest.mark.security
async def test_the_process_knows_no_secret_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_SECRET", "s")
    async with shut_doors(["127.0.0.1"]) as doors:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{doors.port}")
        async with before_a_server() as (fetcher, server):
            await fetcher.fetch(server.url("/picture.png"), accepts=IMAGES)
            known = psutil.Process(fetcher.pid).environ()
            assert not {name for name in known if "proxy" in name.lower() or "NEXUS" in name}
        assert doors.opened == 0
