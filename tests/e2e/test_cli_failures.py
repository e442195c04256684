"""What cannot work says so at once: a sentence, what to do, an exit code that is not 0, and never a traceback."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from support.e2e_cli import nexus

BACKEND = '[[backends]]\nname = "box"\nkind = "openai_compatible"\nurl = "http://127.0.0.1:9"\n'

BAD_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no TOML": ("[[backends]\nname = ", ("nexus.toml", "not valid TOML")),
    "an unknown table": ("[gatway]\nauth = 'keys'\n", ("nexus.toml", "gatway", "gateway")),
    "an unknown setting": ('[gateway]\nauht = "keys"\n', ("auht",)),
    "a url that is none": (BACKEND.replace("http://127.0.0.1:9", "127.0.0.1:9"), ("url", "http://")),
    "a password in a url": (BACKEND.replace("//127", "//me:secret@127"), ("url", "api_key_env")),
}

BAD_FLAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "an unknown flag": (("up", "--prot", "0"), ("--prot", "--port")),
    "an unknown command": (("upp",), ("upp",)),
    "a port out of range": (("up", "--port", "70000"), ("--port", "65535")),
    "a port that is no number": (("up", "--port", "http"), ("--port", "integer")),
    "a model that is not there": (("up", "--model", "missing.gguf"), ("missing.gguf", "GGUF")),
    "a file that is not there": (("up", "--config", "missing.toml"), ("missing.toml", "cannot be read")),
    "an address of nobody": (("up", "--port", "0", "--listen", "192.0.2.1"), ("192.0.2.1",)),
    "a level of nothing": (("up", "--port", "0", "--log-level", "loud"), ("log_level", "debug")),
    "a token that is none": (("join", "nxj_rubbish"), ("token", "nexus token create")),
}

WITHOUT_A_MESH = ("status", "models", "keys list", "keys create laptop", "keys revoke laptop",
                  "explain some-model", "doctor", "token create --node mac")  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
async def test_a_bad_nexus_toml_is_refused(tmp_path: Path, case: str) -> None:
    text, words = BAD_FILES[case]
    (tmp_path / "nexus.toml").write_text(text)
    refused = await nexus(tmp_path, "up", "--port", "0", "--no-discovery")
    refused.assert_refused(*words)
    assert "secret" not in refused.out + refused.err


@pytest.mark.parametrize("case", BAD_FLAGS)
async def test_wrong_flags_are_refused(tmp_path: Path, case: str) -> None:
    arguments, words = BAD_FLAGS[case]
    (await nexus(tmp_path, *arguments)).assert_refused(*words)


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"PK\x03\x04 and so on")
    for command in (("up", "--port", "0", "--no-discovery"), ("join", "nxj_any")):
        (await nexus(tmp_path, *command, "--model", str(model))).assert_refused("model.gguf", "not a GGUF")


async def test_a_busy_port_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused = await nexus(tmp_path, "up", "--port", port, "--no-discovery")
    refused.assert_refused(port, "taken", "--port 0")


async def test_exposed_and_open_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nexus.toml").write_text('[gateway]\nauth = "open"\n')
    refused = await nexus(tmp_path, "up", "--port", "0", "--listen", "0.0.0.0", "--no-discovery")
    refused.assert_refused("anyone on the network", "keys")


async def test_without_a_mesh_every_command_says_so(tmp_path: Path) -> None:
    home = tmp_path / "never"
    for ran in await asyncio.gather(*(nexus(home, *command.split()) for command in WITHOUT_A_MESH)):
        ran.assert_refused("nexus up")
    assert not home.exists()
