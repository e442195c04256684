"""E5: hosts and ports as text, of both families."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from nexus_mesh.core import addresses

WHOLE = [
    ("127.0.0.1", 7410, "127.0.0.1:7410"),
    ("::1", 7410, "[::1]:7410"),
    ("[::1]", 7410, "[::1]:7410"),
    ("::", 1, "[::]:1"),
    ("fd00::10", 65535, "[fd00::10]:65535"),
    ("fe80::1%eth0", 8080, "[fe80::1%eth0]:8080"),
    ("registry", 7410, "registry:7410"),
]


@pytest.mark.parametrize(("host", "port", "text"), WHOLE)
def test_what_is_joined_is_split_again(host: str, port: int, text: str) -> None:
    assert addresses.join(host, port) == text
    assert addresses.split(text) == (host.strip("[]"), port)


@pytest.mark.parametrize(
    "text", ["", "7410", ":7410", "host", "host:", "host:x", "host:-1", "host:65536", "::1:7410", "host:٣"]
)
def test_what_is_no_address_is_not_guessed_at(text: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        addresses.split(text)


def test_where_a_server_is_reached_from_here() -> None:
    assert [addresses.local(host) for host in ("0.0.0.0", "::", "[::]", "::1", "10.0.0.1")] == [
        "127.0.0.1", "::1", "::1", "::1", "10.0.0.1",
    ]  # fmt: skip


def test_hosts_and_ports_are_joined_nowhere_else() -> None:
    """An f-string with a host, a colon and a port has no brackets for IPv6."""
    root = Path(__file__).resolve().parents[3]
    found = {
        f"{path.relative_to(root)}:{node.lineno}"
        for top in ("apps", "libs", "services")
        for path in root.glob(f"{top}/*/src/**/*.py")
        if path.name != "addresses.py" and "_pb2" not in path.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) and _joins(node)
    }
    assert not found


def _joins(text: ast.JoinedStr) -> bool:
    """Whether it is ...{host}:{port}."""
    parts = text.values
    return any(
        isinstance(before, ast.FormattedValue)
        and isinstance(colon, ast.Constant)
        and colon.value in (":", "]:")
        and isinstance(after, ast.FormattedValue)
        and "port" in ast.unparse(after).lower()
        for before, colon, after in zip(parts, parts[1:], parts[2:], strict=False)
    )
