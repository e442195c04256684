"""What is in force after each change, each refusal and each restart."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_router.compiling import prove
from nexus_router.policy import Policies, PolicyStore, Record, RevisionFiles
from nexus_routing import Policy

BASE = Policy(aliases={"a": "of-toml"})


async def opened(home: Path, base: Policy = BASE) -> Policies:
    policies = Policies(PolicyStore(RevisionFiles(home / "policy"), base, prove))
    await policies.open()
    return policies


@pytest.fixture
async def policies(tmp_path: Path) -> Policies:
    return await opened(tmp_path)


def alias(model: str) -> str:
    return json.dumps({"aliases": {"a": model}})


async def put(policies: Policies, *models: str) -> None:
    for model in models:
        await policies.set(alias(model), policies.current.etag, f"to {model}", "me")


def says(policies: Policies) -> tuple[int, str]:
    return policies.current.number, policies.current.policy.aliases["a"]


async def refusal(policies: Policies, reason: Reason, call: object) -> MeshError:
    """The error of a change that must leave everything as it was."""
    before, history = policies.current, await policies.history()
    with pytest.raises(MeshError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.reason is reason
    assert policies.current is before
    assert await policies.history() == history
    return caught.value


async def test_without_a_stored_one_nexus_toml_is_in_force(policies: Policies) -> None:
    assert says(policies) == (0, "of-toml")
    assert await policies.history() == []


async def test_a_stored_one_is_the_whole_policy(policies: Policies) -> None:
    told: list[int] = []
    policies.changed = lambda: told.append(policies.current.number)
    await policies.set('{"aliases": {"b": "m"}}', policies.current.etag, "why", "me")
    assert policies.current.policy.aliases == {"b": "m"}
    assert told == [1]
    ((number, record),) = await policies.history()
    assert isinstance(record, Record)
    assert (number, record.author, record.comment) == (1, "me", "why")


async def test_it_is_in_force_after_a_restart_whatever_nexus_toml_says(tmp_path: Path) -> None:
    await put(await opened(tmp_path), "x", "y")
    again = await opened(tmp_path, Policy(aliases={"a": "changed"}))
    assert says(again) == (2, "y")


@pytest.mark.parametrize(
    "bad", ["", "{", '{"aliases": {"a": "a"}}', '{"unknown": 1}', '{"zones": {"m": ""}}']
)
async def test_a_bad_one_leaves_the_old_in_force(policies: Policies, bad: str) -> None:
    await put(policies, "x")
    await refusal(policies, Reason.INVALID_REQUEST, policies.set(bad, policies.current.etag, "", "me"))
    await refusal(policies, Reason.INVALID_REQUEST, policies.check(bad, "", ""))


async def test_one_that_gateways_could_not_read_leaves_the_old_in_force(tmp_path: Path) -> None:
    def refuse(policy: Policy) -> None:
        if policy.aliases.get("a") == "poison":
            raise RuntimeError("cannot be compiled")

    shelf = PolicyStore(RevisionFiles(tmp_path / "policy"), BASE, refuse)
    policies = Policies(shelf)
    await policies.open()
    await put(policies, "x")
    with pytest.raises(RuntimeError):
        await put(policies, "poison")
    assert says(policies) == (1, "x")
    await put(await opened(tmp_path), "poison")
    await policies.open()
    assert says(policies) == (1, "x")
    assert "2.json cannot be used" in await policies.problem()


async def test_an_etag_is_good_for_one_change(policies: Policies) -> None:
    etag = policies.current.etag
    changes = [policies.set(alias(f"m{number}"), etag, "", "me") for number in range(8)]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    lost = [one for one in outcomes if isinstance(one, MeshError)]
    assert len(lost) == 7
    assert {error.reason for error in lost} == {Reason.CONFLICT}
    assert len(await policies.history()) == 1
    await refusal(policies, Reason.CONFLICT, policies.rollback(0, etag, "", "me"))
    await refusal(policies, Reason.CONFLICT, policies.reset(etag, "", "me"))
    await refusal(policies, Reason.CONFLICT, policies.check(alias("m"), etag, ""))
    await refusal(policies, Reason.INVALID_REQUEST, policies.set(alias("m"), "", "", "me"))


async def test_an_etag_is_not_good_again_when_the_same_comes_back(policies: Policies) -> None:
    await put(policies, "x")
    etag = policies.current.etag
    await put(policies, "y", "x")
    await refusal(policies, Reason.CONFLICT, policies.set(alias("z"), etag, "", "me"))


@pytest.mark.parametrize("comment", ["x" * 201, "two\nlines", "\x1b[31m"])
async def test_a_comment_is_one_printable_line(policies: Policies, comment: str) -> None:
    change = policies.set(alias("x"), policies.current.etag, comment, "me")
    assert (await refusal(policies, Reason.INVALID_REQUEST, change)).metadata == {"param": "comment"}


async def test_a_check_changes_nothing(policies: Policies) -> None:
    checked = await policies.check(alias("x"), policies.current.etag, "why")
    assert checked.policy.aliases == {"a": "x"}
    assert says(policies) == (0, "of-toml")
    assert await policies.history() == []


async def test_a_rollback_is_a_new_revision_and_can_be_rolled_back(policies: Policies) -> None:
    await put(policies, "x", "y")
    await policies.rollback(None, policies.current.etag, "", "me")
    assert says(policies) == (3, "x")
    record = policies.current.record
    assert record is not None
    assert record.comment == "rollback to revision 1"
    await policies.rollback(None, policies.current.etag, "", "me")
    assert says(policies) == (4, "y")
    await policies.rollback(1, policies.current.etag, "I said so", "me")
    assert says(policies) == (5, "x")


async def test_before_the_first_there_is_nexus_toml_and_nothing_before_that(tmp_path: Path) -> None:
    policies = await opened(tmp_path)
    await refusal(policies, Reason.OBJECT_NOT_FOUND, policies.rollback(None, policies.current.etag, "", "me"))
    await put(policies, "x")
    await policies.rollback(None, policies.current.etag, "", "me")
    assert says(policies) == (2, "of-toml")
    assert policies.current.of_file
    await policies.rollback(None, policies.current.etag, "", "me")
    assert says(policies) == (3, "x")


@pytest.mark.parametrize("number", [2, 99, 2**63])
async def test_there_is_no_way_back_to_what_never_was(policies: Policies, number: int) -> None:
    await put(policies, "x")
    await refusal(
        policies, Reason.OBJECT_NOT_FOUND, policies.rollback(number, policies.current.etag, "", "me")
    )
    with pytest.raises(MeshError):
        await policies.get(number)


async def test_after_a_reset_nexus_toml_has_the_word_also_when_it_changes(tmp_path: Path) -> None:
    policies = await opened(tmp_path)
    await put(policies, "x")
    await policies.reset(policies.current.etag, "", "me")
    assert says(policies) == (2, "of-toml")
    again = await opened(tmp_path, Policy(aliases={"a": "changed"}))
    assert says(again) == (2, "changed")
    await again.reset(again.current.etag, "", "me")
    assert says(again) == (2, "changed")
    await put(again, "y")
    assert says(again) == (3, "y")


async def test_the_last_good_one_is_in_force_when_newer_files_are_bad(tmp_path: Path) -> None:
    await put(await opened(tmp_path), "x", "y", "z")
    (tmp_path / "policy" / "3.json").write_bytes(os.urandom(300))
    (tmp_path / "policy" / "2.json").write_bytes(b"")
    unknown = Record(revision=4, author="a later version", policy={"not": "known here"})
    (tmp_path / "policy" / "4.json").write_bytes(unknown.encode())
    policies = await opened(tmp_path)
    assert says(policies) == (1, "x")
    problem = await policies.problem()
    assert "4.json cannot be used" in problem
    assert "revision 1 is in force" in problem
    assert [number for number, entry in await policies.history() if isinstance(entry, str)] == [3, 2]
    await put(policies, "new")
    assert says(policies) == (5, "new")
    assert await policies.problem() == ""
    assert says(await opened(tmp_path)) == (5, "new")


async def test_when_none_can_be_used_nexus_toml_is_in_force_and_it_says_so(tmp_path: Path) -> None:
    await put(await opened(tmp_path), "x", "y")
    for path in (tmp_path / "policy").glob("*.json"):
        path.write_bytes(b"{}")
    policies = await opened(tmp_path)
    assert says(policies) == (0, "of-toml")
    assert "2.json cannot be used" in await policies.problem()
    assert "nexus.toml is in force" in await policies.problem()
    await put(policies, "z")
    assert says(policies) == (3, "z")


async def test_a_file_that_goes_bad_meanwhile_changes_nothing_but_is_told(tmp_path: Path) -> None:
    policies = await opened(tmp_path)
    await put(policies, "x")
    (tmp_path / "policy" / "1.json").write_bytes(b"")
    assert says(policies) == (1, "x")
    assert "revision 1 stays in force while the router runs" in await policies.problem()
    await put(policies, "x")
    assert await policies.problem() == ""


async def test_what_cannot_be_stored_is_not_in_force(tmp_path: Path) -> None:
    policies = await opened(tmp_path)
    await put(policies, "x")
    obstacle = tmp_path / "policy" / "2.json"
    obstacle.mkdir()
    (obstacle / "in the way").touch()
    with pytest.raises(MeshError) as caught:
        await put(policies, "y")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert says(policies) == (1, "x")
    await put(policies, "z")
    assert says(policies) == (3, "z")


async def test_a_caller_that_gives_up_does_not_part_disk_and_memory(tmp_path: Path) -> None:
    policies = await opened(tmp_path)
    change = asyncio.create_task(policies.set(alias("x"), policies.current.etag, "", "me"))
    await asyncio.sleep(0)
    change.cancel()
    await asyncio.gather(change, return_exceptions=True)
    await policies.close()
    assert says(policies) == says(await opened(tmp_path))
