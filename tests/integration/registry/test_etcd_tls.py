"""etcd behind mutual TLS: who is let in, and credentials that change under a running watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from nexus_registry.etcd import EtcdClient, UnavailableError
from support.etcd import EtcdCluster
from support.etcd_certs import CLIENT, SERVER, EtcdCA
from support.etcd_history import read_history
from support.etcd_recorder import Recorder
from support.waiting import eventually

PREFIX = b"/nexus/"


@pytest.fixture
def ca() -> EtcdCA:
    return EtcdCA()


@pytest_asyncio.fixture
async def secure_etcd(tmp_path: Path, ca: EtcdCA) -> AsyncIterator[EtcdCluster]:
    cluster = EtcdCluster(tmp_path, ca=ca)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


async def test_a_client_certificate_lets_in(secure_etcd: EtcdCluster, ca: EtcdCA) -> None:
    credentials = ca.credentials(ca.issue("registry", CLIENT))
    client = EtcdClient(secure_etcd.endpoints, lambda: credentials)
    assert await client.put(b"/nexus/a", b"1")
    await client.close()


@pytest.mark.parametrize("who", ["nobody", "a server only", "a stranger", "plain text"])
async def test_others_are_refused_with_a_hint(
    secure_etcd: EtcdCluster, ca: EtcdCA, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials: dict[str, grpc.ChannelCredentials | None] = {
        "nobody": ca.credentials(),
        "a server only": ca.credentials(ca.issue("registry", SERVER)),
        "a stranger": ca.credentials(EtcdCA().issue("registry", CLIENT)),
        "plain text": None,
    }
    client = EtcdClient(secure_etcd.endpoints, lambda: credentials[who])
    with pytest.raises(UnavailableError, match="certificate"):
        await client.put(b"/nexus/a", b"1")
    await client.close()
    assert secure_etcd.endpoints[0] in capsys.readouterr().out


@pytest.mark.parametrize(("server_name", "accepted"), [("etcd", True), ("elsewhere", False)])
async def test_the_members_must_carry_the_name_that_is_expected(
    secure_etcd: EtcdCluster, ca: EtcdCA, server_name: str, accepted: bool
) -> None:
    credentials = ca.credentials(ca.issue("registry", CLIENT))
    client = EtcdClient(secure_etcd.endpoints, lambda: credentials, server_name=server_name)
    if accepted:
        assert await client.put(b"/nexus/a", b"1")
    else:
        with pytest.raises(UnavailableError):
            await client.put(b"/nexus/a", b"1")
    await client.close()


async def test_new_credentials_under_a_running_watch_lose_nothing(
    secure_etcd: EtcdCluster, ca: EtcdCA
) -> None:
    used: list[str] = []

    def credentials() -> grpc.ChannelCredentials:
        used.append(f"registry-{len(used)}")
        return ca.credentials(ca.issue(used[-1], CLIENT))

    client = EtcdClient(secure_etcd.endpoints, credentials)
    writer = EtcdClient(secure_etcd.endpoints, credentials)
    lease = await client.leases.grant(3)
    async with Recorder(client, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected)
        last = 0
        for n in range(60):
            last = await writer.put(PREFIX + b"%d" % (n % 5), b"%d" % n, lease.id)
            if n % 10 == 5:
                _, item = await asyncio.gather(client.refresh(), client.get(PREFIX + b"0"))
                assert item is not None
        await eventually(lambda: recorder.revision == last, timeout=20)
        assert recorder.events == await read_history(secure_etcd, PREFIX, last)
        assert recorder.relists == []
    assert len(used) == 8
    assert not lease.lost.is_set()
    await client.close()
    await writer.close()


async def test_credentials_that_are_refused_do_not_replace_those_that_work(
    secure_etcd: EtcdCluster, ca: EtcdCA
) -> None:
    offered = [ca.credentials(ca.issue("registry", CLIENT)), ca.credentials(ca.issue("registry", SERVER))]
    client = EtcdClient(secure_etcd.endpoints, lambda: offered.pop(0))
    async with Recorder(client, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected)
        with pytest.raises(UnavailableError):
            await client.refresh()
        last = await client.put(b"/nexus/a", b"1")
        await eventually(lambda: recorder.revision == last)
        assert recorder.states == [True]
    await client.close()
