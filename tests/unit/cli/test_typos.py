"""E16: a name that is none is answered with the one that was meant, its line, and the backend's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nexus_cli.layout import Layout, MeshFile
from nexus_cli.plan import Options, Plan
from nexus_cli.settings import check_settings
from nexus_mesh.core.errors import ConfigError
from nexus_mesh.settings.toml_places import line_of

ROOT = Path(__file__).parents[3]
BOX = '[[backends]]\nname = "box"\nkind = "openai_compatible"\nurl = "http://127.0.0.1:9"\n'
CARD = '[[devices]]\nname = "gpu0"\nmemory_gb = 24\n'
RULE = '[[routing.rules]]\nname = "guests"\nonly = { hosts = ["a"] }\n'
ZONED = '[[routing.rules]]\nname = "guests"\nzone = "home"\n'

TYPOS: list[tuple[str, str, int, str]] = [
    # text, where, line, what was meant
    ("[gatway]\n", "gatway", 1, "gateway"),
    ("[adaptor]\n", "adaptor", 1, "adapter"),
    ("[routng]\n", "routng", 1, "routing"),
    ("[timeout]\nstall = 3\n", "timeout", 1, "timeouts"),
    ("[que]\n", "que", 1, "queue"),
    ('[model."x"]\n', "model", 1, "models"),
    ('[[backend]]\nname = "box"\n', "backend", 1, "backends"),
    ("[[device]]\n", "device", 1, "devices"),
    ("\n\n[queue]\nwiat = 3\n", "queue.wiat", 4, "wait"),
    ("[queue]\nlenght = 3\n", "queue.lenght", 2, "length"),
    ("[queue]\ntenant_shar = 0.5\n", "queue.tenant_shar", 2, "tenant_share"),
    ("[queue]\nbulkhed = 4\n", "queue.bulkhed", 2, "bulkhead"),
    ("[queue]\nstrech = 4\n", "queue.strech", 2, "stretch"),
    ("[timeouts]\nfirst_tokn = 3\n", "timeouts.first_tokn", 2, "first_token"),
    ("[timeouts]\nconect = 3\n", "timeouts.conect", 2, "connect"),
    ("[timeouts]\nstal = 3\n", "timeouts.stal", 2, "stall"),
    ("[timeouts]\ntotl = 3\n", "timeouts.totl", 2, "total"),
    ('[gateway]\nauht = "keys"\n', "auht", 2, "auth"),
    ("[gateway]\n# a comment\nanounce = true\n", "anounce", 3, "announce"),
    ("[gateway]\nhttp_prot = 1\n", "http_prot", 2, "http_port"),
    ("[adapter]\nmin_residncy = 1\n", "min_residncy", 2, "min_residency"),
    ("[adapter]\nidle_unlod = 1\n", "idle_unlod", 2, "idle_unload"),
    ("[adapter]\nprewarn = []\n", "prewarn", 2, "prewarm"),
    ('[adapter]\nmdsn = "off"\n', "mdsn", 2, "mdns"),
    ("[registry]\nleas_ttl = 4\n", "leas_ttl", 2, "lease_ttl"),
    ("[store]\nquota_byte = 4\n", "quota_byte", 2, "quota_bytes"),
    ("[vault]\ncertificat_ttl = 4\n", "certificat_ttl", 2, "certificate_ttl"),
    ("[router]\nresync_grce = 4\n", "resync_grce", 2, "resync_grace"),
    ("[routing]\nalias = {}\n", "routing.alias", 2, "aliases"),
    ('[routing.aliase]\n"a" = "b"\n', "routing.aliase", 1, "aliases"),
    ('[routing.fallback]\n"a" = ["b"]\n', "routing.fallback", 1, "fallbacks"),
    ("[routing]\nhegde = {}\n", "routing.hegde", 2, "hedge"),
    ("[routing]\nresum = []\n", "routing.resum", 2, "resume"),
    ("[routing]\noverflow_to_falbacks = true\n", "routing.overflow_to_falbacks", 2, "overflow_to_fallbacks"),
    (RULE + 'tenats = ["x"]\n', "routing.rules.guests.tenats", 4, "tenants"),
    (RULE + RULE.replace("guests", "b") + 'modles = ["x"]\n', "routing.rules.b.modles", 7, "models"),
    ("[[routing.prices]]\ninptu = 1\n", "routing.prices.0.inptu", 2, "input"),
    (BOX + 'apikey_env = "K"\n', "backends.box.apikey_env", 5, "api_key_env"),
    (BOX + BOX.replace("box", "other") + "priorty = 3\n", "backends.other.priorty", 9, "priority"),
    (BOX + "max_concurency = 3\n", "backends.box.max_concurency", 5, "max_concurrency"),
    (BOX + "model = []\n", "backends.box.model", 5, "models"),
    (BOX.replace("openai_compatible", "openai_compatble"), "backends.box.kind", 3, "openai_compatible"),
    (BOX.replace("openai_compatible", "olama"), "backends.box.kind", 3, "ollama"),
    (BOX + 'capabilities = ["tool"]\n', "backends.box.capabilities.0", 5, "tools"),
    (CARD + "headrom_gb = 1\n", "devices.gpu0.headrom_gb", 4, "headroom_gb"),
    (CARD + "backend = []\n", "devices.gpu0.backend", 4, "backends"),
    ('[models."llama3.1:70b"]\nmemry_gb = 40\n', 'models."llama3.1:70b".memry_gb', 2, "memory_gb"),
    ('[models.x]\ntokenzier = "t.json"\n', "models.x.tokenzier", 2, "tokenizer"),
    ("[models.x.timeouts]\nstal = 4\n", "models.x.timeouts.stal", 2, "stall"),
    (ZONED + "[routing.rules.only]\nhots = ['a']\n", "routing.rules.guests.only.hots", 5, "hosts"),
    (ZONED + "[routing.rules.never]\nbackend = ['a']\n", "routing.rules.guests.never.backend", 5, "backends"),
    (ZONED + ZONED.replace("guests", "b") + "[routing.rules.never]\ngpu = ['a']\n", "b.never.gpu", 8, "gpus"),
    ('[registry]\nlog_levl = "info"\n', "log_levl", 2, "log_level"),
]


def problems(home: Path, text: str) -> list[str]:
    (home / "nexus.toml").write_text(text)
    ports = {"http": 1, "join": 2, "etcd": 3, "etcd-peer": 4}
    control: dict[str, str] = {}
    for role in ("registry", "router", "vault", "gateway", "join"):
        control[role] = "127.0.0.1:1"
    with pytest.raises(ConfigError) as raised:
        check_settings(Plan(Options(home), Layout(home), MeshFile("n", ports=ports, control=control)))
    return raised.value.problems


@pytest.mark.parametrize(("text", "where", "line", "meant"), TYPOS, ids=[where for _, where, _, _ in TYPOS])
def test_a_typo_is_told_with_what_was_meant(
    tmp_path: Path, text: str, where: str, line: int, meant: str
) -> None:
    told = [one for one in problems(tmp_path, text) if f"{where}: " in one]
    assert told, problems(tmp_path, text)
    assert any(f"did you mean {meant!r}?" in one for one in told), told
    assert all(f"(nexus.toml, line {line})" in one for one in told), told


def tables_with_a_typo() -> set[str]:
    """Headers above a name in TYPOS that is none, as docs/settings.md has them."""
    found = set()
    for text, _, line, _ in TYPOS:
        lines = text.splitlines()[:line]
        above = next(each for each in reversed(lines) if each.startswith("["))
        if above != lines[-1]:
            found.add(re.sub(r"^\[models\.[^.\]\"]+|^\[models\.\"[^\"]+\"", '[models."NAME"', above))
    return found


def test_every_table_there_is_has_a_typo() -> None:
    """docs/settings.md is written from the settings, and proved to be fresh."""
    tables = set(re.findall(r"^## `(.+)`$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert {"[routing]", "[[routing.prices]]", '[models."NAME".timeouts]'} <= tables
    assert tables - tables_with_a_typo() == set()


def test_what_is_near_nothing_gets_no_guess(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, "[queue]\nqqqqqqqq = 3\n")
    assert "did you mean" not in told
    assert "(nexus.toml, line 2)" in told


TEXT = """# a = 1
[a]
b.c = 1   # dotted
"d e" = [
  1,
]
[[list]]
x = 1
[[list]]
x = 2
[list.sub]
y = "[no] header"
[[list.deep]]
z = 3
[q."r.s"]
t = 4
"""
LINES = {
    ("a",): 2, ("a", "b", "c"): 3, ("a", "d e"): 4, ("list", 0, "x"): 8, ("list", 1): 9, ("list", 1, "x"): 10,
    ("list", 1, "sub", "y"): 12, ("list", 1, "deep", 0, "z"): 14, ("q", "r.s", "t"): 16,
    ("a", "missing"): 2, ("nothing",): None, ("list", 1, "x", "deeper"): 10,
}  # fmt: skip


@pytest.mark.parametrize("path", LINES)
def test_the_line_of_a_place(path: tuple[str | int, ...]) -> None:
    assert line_of(TEXT, path) == LINES[path]
