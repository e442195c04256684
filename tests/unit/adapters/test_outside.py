"""What the user has told pip, uv and the hub's tools, as it is read for fetching models."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from nexus_inference_adapters.store import is_public, outside
from nexus_mesh.core import MeshError, Reason
from yarl import URL

PUBLIC = URL("https://pypi.org/simple")
HERE = "https://packages.example/simple"
PAIR = base64.b64encode(b"me:s3cret").decode()


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), **more}


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"])
def test_an_index_is_named_by_a_variable(tmp_path: Path, variable: str) -> None:
    assert outside(environment(tmp_path, **{variable: HERE})).indexes == (URL(HERE),)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".config/pip/pip.conf", f"[global]\nindex-url = {HERE}\n"),
        (".pip/pip.conf", f"[global]\nindex-url = {HERE}\n"),
        (".config/uv/uv.toml", f'index-url = "{HERE}"\n'),
        (".config/uv/uv.toml", f'[[index]]\nname = "ours"\nurl = "{HERE}"\ndefault = true\n'),
    ],
)
def test_an_index_is_named_by_a_file(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert outside(environment(tmp_path)).indexes == (URL(HERE),)
    other = outside(environment(tmp_path, PIP_INDEX_URL="https://other.example/simple"))
    assert other.indexes == (URL("https://other.example/simple"),)


def test_further_indexes_come_after_the_first(tmp_path: Path) -> None:
    given = environment(
        tmp_path, UV_DEFAULT_INDEX=HERE, UV_INDEX="ours=https://b.example/s https://c.example/s"
    )
    assert [url.host for url in outside(given).indexes] == ["packages.example", "b.example", "c.example"]


def test_a_password_goes_to_its_own_origin_and_is_shown_nowhere(tmp_path: Path) -> None:
    given = environment(
        tmp_path,
        PIP_INDEX_URL="https://me:s3cret@packages.example/simple",
        HF_TOKEN="hf_canary",
        PIP_PROXY="http://u:p4ss@p",
    )
    told = outside(given)
    assert told.indexes == (URL(HERE),)
    assert told.authorization(URL("https://packages.example/files/x")) == f"Basic {PAIR}"
    assert told.authorization(told.hub / "a") == "Bearer hf_canary"
    for elsewhere in ("http://packages.example/", "https://packages.example:8443/", "https://files.example/"):
        assert told.authorization(URL(elsewhere)) is None
    for secret in ("s3cret", "hf_canary", "p4ss", PAIR):
        assert secret not in repr(told)


@pytest.mark.parametrize(
    "address", ["file:///etc", "packages.example/simple", "https://", "ftp://me:s3cret@x/y"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(MeshError, match="PIP_INDEX_URL") as caught:
        outside(environment(tmp_path, PIP_INDEX_URL=address))
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert "s3cret" not in caught.value.message


def test_damaged_files_say_nothing(tmp_path: Path) -> None:
    for file in (".config/pip/pip.conf", ".config/uv/uv.toml"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(b"\xff[[[ index-url")
    assert outside(environment(tmp_path)).indexes == (PUBLIC,)


def test_where_nothing_is_said_it_is_the_index_of_pip_and_uv(tmp_path: Path) -> None:
    assert outside(environment(tmp_path)).indexes == (PUBLIC,)
    more = outside(environment(tmp_path, PIP_EXTRA_INDEX_URL=HERE))
    assert more.indexes == (PUBLIC, URL(HERE))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True), ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("192.168.1.1", False), ("172.16.0.1", False), ("169.254.169.254", False),
        ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False), ("fe80::1%eth0", False), ("fd00::1", False),
        ("::ffff:10.0.0.1", False), ("::ffff:127.0.0.1", False),
    ],
)  # fmt: skip
def test_addresses_of_this_machine_and_network_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) is public
