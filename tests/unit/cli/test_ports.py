"""B7: ports are bound, and only then told."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import grpc
import pytest
from nexus_cli.layout import Layout
from nexus_cli.output import Failure
from nexus_cli.plan import Options
from nexus_cli.ports import Ports
from nexus_cli.up import describe

HOST = "127.0.0.1"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a bound port can't be another's to listen at"
)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


def test_what_is_held_is_nobody_else_s() -> None:
    port = free_port()
    with Ports() as ports:
        assert ports.hold(HOST, port)
        assert not ports.hold(HOST, port)
        with Ports() as others:
            assert not others.hold(HOST, port)
            assert not others.hold("0.0.0.0", port)
            assert others.choose(HOST, port) != port
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((HOST, port))
    with Ports() as later:
        assert later.hold(HOST, port)


async def test_a_process_that_is_told_of_it_listens_at_it_again_and_again() -> None:
    with Ports() as ports:
        port = ports.choose(HOST, None)
        for _ in range(2):
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            assert server.add_insecure_port(f"{HOST}:{port}") == port
            await server.start()
            assert not Ports().hold(HOST, port)
            socket.create_connection((HOST, port)).close()
            await server.stop(0)
            with socket.create_server((HOST, port)):
                socket.create_connection((HOST, port)).close()


def test_somebody_who_listens_keeps_the_port() -> None:
    with socket.create_server((HOST, 0)) as server, Ports() as ports:
        assert not ports.hold(HOST, server.getsockname()[1])


def test_connections_of_before_that_die_away_are_nobody() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((HOST, port))
        accepted, _ = server.accept()
        accepted.close()  # who closes first waits in TIME_WAIT
        client.close()
    with Ports() as ports:
        assert ports.hold(HOST, port)


def test_the_port_clients_know_is_not_exchanged_for_another(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    with socket.create_server((HOST, 0)) as other, Ports() as ports, pytest.raises(Failure, match="taken"):
        describe(Options(tmp_path, port=other.getsockname()[1]), layout, ports)


def test_an_address_of_another_machine_is_told_as_such(tmp_path: Path) -> None:
    with Ports() as ports, pytest.raises(Failure, match=r"192\.0\.2\.1 is no address of this machine"):
        describe(Options(tmp_path, port=0, listen="192.0.2.1"), Layout(tmp_path), ports)
