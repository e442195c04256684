"""What cannot work says so at once: a sentence, what to do, an exit code that is not 0, and never a traceback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.e2e_cli import Ran, environment, nexus
from support.fake_openai import FakeOpenAI

UP = ("up", "--port", "0", "--no-discovery")
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
    "a level of nothing": (("up", "--port", "0", "--log-level", "loud"), ("--log-level", "debug")),
    "a token among the arguments": (("join", "nxj_rubbish"), ("argument", "--token-file", "nexus join -")),
    "no token at all": (("join",), ("token", "nexus token create")),
}

WITHOUT_A_MESH = ("status", "models", "keys list", "keys create laptop", "keys revoke laptop",
                  "explain some-model", "doctor", "token create --node mac")  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
async def test_a_bad_nexus_toml_is_refused(tmp_path: Path, case: str) -> None:
    text, words = BAD_FILES[case]
    (tmp_path / "nexus.toml").write_text(text)
    refused = await nexus(tmp_path, *UP)
    refused.assert_refused(*words)
    assert refused.code == 2
    assert "secret" not in refused.out + refused.err


@pytest.mark.parametrize("case", BAD_FLAGS)
async def test_wrong_flags_are_refused(tmp_path: Path, case: str) -> None:
    arguments, words = BAD_FLAGS[case]
    (await nexus(tmp_path, *arguments)).assert_refused(*words)


BAD_MODELS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not a GGUF": (lambda _: b"PK\x03\x04 and so on", "not a GGUF file"),
    "empty": (lambda _: b"", "it is empty"),
    "cut in half": (lambda whole: whole[: len(whole) // 2], "cut short, for it has"),
    "cut in its head": (lambda whole: whole[:1000], "cut short"),
}


@pytest.mark.parametrize("case", BAD_MODELS)
async def test_a_file_that_is_no_model_is_refused_before_anything_starts(
    tmp_path: Path, tiny_gguf: Path, case: str
) -> None:
    spoil, words = BAD_MODELS[case]
    model, home = tmp_path / "model[1].gguf", tmp_path / "home"
    model.write_bytes(spoil(tiny_gguf.read_bytes()))
    for command in ((*UP, "--model", str(model)), ("join", "--model", str(model))):
        refused = await nexus(home, *command)
        refused.assert_refused("model[1].gguf cannot be served", words, "GGUF model")
        assert refused.code == 1
    told = error_of(await nexus(home, *UP, "--model", str(model), "--json"))
    assert words in told["message"]
    assert not home.exists()


async def test_what_only_llama_cpp_can_tell_of_a_model_is_told_at_once(
    tmp_path: Path, tiny_gguf: Path
) -> None:
    model = tmp_path / "alien.gguf"
    model.write_bytes(tiny_gguf.read_bytes().replace(b"llama", b"alien"))
    refused = await nexus(tmp_path, *UP, "--model", str(model))
    refused.assert_refused("cannot be served", "alien.gguf", "'alien'", "adapter.log")
    assert "not ready after" not in refused.err
    assert "{" not in refused.err
    assert refused.code == 1
    told = error_of(await nexus(tmp_path, *UP, "--model", str(model), "--json"))
    assert "alien.gguf" in told["message"]


async def test_a_model_asked_for_is_not_left_out_because_there_are_others(
    tmp_path: Path, tiny_gguf: Path
) -> None:
    model = tmp_path / "alien.gguf"
    model.write_bytes(tiny_gguf.read_bytes().replace(b"llama", b"alien"))
    async with FakeOpenAI("fake-model") as box:
        (tmp_path / "nexus.toml").write_text(BACKEND.replace("http://127.0.0.1:9", box.url))
        (await nexus(tmp_path, *UP, "--model", str(model))).assert_refused("cannot be served", "alien.gguf")


async def test_every_bad_setting_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cold start too: of every service, of the file and of the environment, each once."""
    (tmp_path / "nexus.toml").write_text(
        '[gatway]\n[gateway]\nauht = "keys"\n[vault]\ncertificate_ttl = "long"\n'
        "[timeouts]\nfirst_tokn = 1\n[registry]\nlease_ttl = -1\n"
    )
    told = {
        "NEXUS_GATEWAY_HTTP_PROT": "1",
        "NEXUS_ROUTER_RESYNC_GRACE": "soon",
        "NEXUS_ADAPTER_BACKENDS": "{",
    }
    monkeypatch.setattr("support.e2e_cli.environment", lambda home: {**environment(home), **told})
    refused = await nexus(tmp_path, *UP)
    refused.assert_refused(
        *(
            "gatway",
            "gateway: auht",
            "vault: certificate_ttl",
            "registry: lease_ttl",
            "NEXUS_ADAPTER_BACKENDS must hold JSON",
        ),
        *("NEXUS_GATEWAY_HTTP_PROT", "router: resync_grace", "gateway: timeouts.first_tokn"),
    )
    assert refused.err.count("lease_ttl") == 1
    assert refused.code == 2
    assert "auht" in error_of(await nexus(tmp_path, *UP, "--json"))["hint"]
    assert not list((tmp_path / "logs").iterdir())


@pytest.mark.parametrize("text", ["gateway = 3\n", "[[gateway]]\n", "backends = 4\n", "backends = [4]\n"])
async def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "nexus.toml").write_text(text)
    refused = await nexus(tmp_path, *UP)
    refused.assert_refused(text.strip("[]\n").split()[0])
    assert refused.code == 2


def error_of(refused: Ran) -> dict[str, str]:
    """The object a failure prints with --json."""
    assert refused.out == ""
    return json.loads(refused.err)["error"]


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
