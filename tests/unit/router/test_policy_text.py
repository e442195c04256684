"""What a policy may say, and in which words it is told what it may not."""

from __future__ import annotations

import json

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_router.policy import text
from nexus_routing import Policy

FULL = {
    "aliases": {"gpt-4o": "llama3.1:70b"},
    "zones": {"gpt-4o": "restricted"},
    "fallbacks": {"llama3.1:70b": ["qwen3:32b", "a"]},
    "tiers": {"gpt-4o": "big"},
    "tier_order": ["small", "big"],
    "rules": [
        {"name": "at home", "models": ["llama*"], "only": {"hosts": ["studio"], "gpus": ["RTX*"]}},
        {"name": "b", "never": {"tiers": ["small"]}},
    ],
    "prices": [
        {"kinds": ["openai_compatible"], "models": ["gpt-*"], "input": 2.5, "output": 10.0},
        {"tiers": ["big"], "output": 0.1},
    ],
}


def refused(given: str) -> MeshError:
    with pytest.raises(MeshError) as caught:
        text.read(given)
    assert caught.value.reason is Reason.INVALID_REQUEST
    return caught.value


def test_it_reads_what_nexus_toml_would_hold() -> None:
    routing = text.read(json.dumps(FULL))
    assert routing == Policy.model_validate(FULL)
    assert json.loads(text.canonical(routing)) == FULL
    assert text.read(text.canonical(routing)) == routing


def test_what_is_left_at_its_default_is_not_written() -> None:
    assert text.canonical(text.read('{"aliases": {}}')) == "{}"
    assert text.fingerprint(text.read('{"aliases": {}}')) == text.fingerprint(Policy())


def test_the_order_of_names_makes_no_other_policy_but_is_kept() -> None:
    one, other = (
        text.read('{"aliases": {"b": "m", "a": "m"}}'),
        text.read('{"aliases": {"a": "m", "b": "m"}}'),
    )
    assert text.fingerprint(one) == text.fingerprint(other)
    assert list(json.loads(text.canonical(one))["aliases"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("given", "param", "words"),
    [
        ('{"aliases": {"gpt-4.1": 3}}', 'aliases."gpt-4.1"', ["must be text"]),
        ('{"aliases": {"a": null}}', "aliases.a", ["must be text"]),
        ('{"aliases": []}', "aliases", ["must be a table"]),
        ('{"aliases": {"a": "b", "b": "a"}}', "aliases", ["circle: a -> b -> a"]),
        ('{"zones": {"m": "No Zone"}}', "zones", ["no name of a zone"]),
        ('{"alias": {}}', "alias", ["not a known setting", "aliases", "zones"]),
        ('{"alias": {}, "zones": {"m": 1}}', "zones.m", ["alias: is not", "zones.m: must be text"]),
        ('{"rules": [{"name": "r"}]}', "rules.0", ["neither allows nor excludes"]),
        ('{"rules": [{"name": "r", "only": {"host": []}}]}', "rules.0.only.host", ["not a known setting"]),
        ('{"prices": [{"input": -0.1}]}', "prices.0.input", ["at least 0"]),
        ('{"prices": [{}, {"output": 1000001}]}', "prices.1.output", ["at most 1000000"]),
        ('{"prices": [{"output": 1e999}]}', "prices.0.output", ["must be a finite number"]),
        (f'{{"prices": [{{"output": 1{"0" * 400}}}]}}', "prices.0.output", ["must be a number"]),
        ('{"prices": [{"input": "2.5"}]}', "prices.0.input", ["must be a number"]),
        ('{"prices": [{"input": true}]}', "prices.0.input", ["must be a number"]),
        ('{"prices": [{"inptu": 1}]}', "prices.0.inptu", ["not a known setting"]),
        ('{"prices": [{"input": NaN}]}', "json", ["NaN"]),
        ('{"tiers": {"m": "none"}}', "routing", ["tier_order"]),
        ('{"routing": {}}', "routing", ["inside the table [routing]"]),
        ('{"aliases": {"a": "b", "a": "c"}}', "json", ["a is set twice"]),
        ('{"aliases": {"a": "\\ud800"}}', "json", ["half a character"]),
        ('{"aliases": ', "json", ["line 1, column 13"]),
        ('{"aliases": NaN}', "json", ["NaN"]),
        ("[]", "json", ["table"]),
        ("", "json", ["not JSON"]),
        ("[" * 100_000, "json", ["deeply"]),
        (json.dumps({"aliases": {"a": "x" * text.LARGEST}}), "json", ["256 KiB"]),
    ],
)
def test_what_is_refused_is_named_in_plain_words(given: str, param: str, words: list[str]) -> None:
    error = refused(given)
    assert all(word in error.message for word in words), error.message
    assert not any(prose in error.message for prose in ("Input should", "Extra inputs", "Value error"))
    assert error.metadata["param"] == param
