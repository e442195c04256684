"""What is remembered of announcements when there are too many."""

from __future__ import annotations

from nexus_inference_adapters.discovery.mdns.adverts import Advert, Use, read_advert
from nexus_inference_adapters.discovery.mdns.candidates import EACH, MOST, Candidates, Standing


def advert(name: str, address: str = "10.0.0.1", use: Use = Use.ENGINE) -> Advert:
    found = read_advert(name, use, [address], 11434, None)
    assert found is not None
    return found


def full() -> Candidates:
    """As many as there may be, each of an address of its own."""
    candidates = Candidates()
    for number in range(MOST):
        assert candidates.admit(advert(f"n{number}", f"10.0.1.{number}")) == (True, None)
    return candidates


def test_one_address_gets_its_share_and_no_more() -> None:
    candidates = Candidates()
    admitted = [candidates.admit(advert(f"n{number}"))[0] for number in range(EACH + 5)]
    assert admitted == [True] * EACH + [False] * 5
    assert candidates.admit(advert("other", "10.0.0.2")) == (True, None)


def test_the_new_and_the_served_make_room_for_nobody() -> None:
    candidates = full()
    candidates.settle("n0", Standing.SERVED)
    assert candidates.admit(advert("late", "10.0.2.1")) == (False, None)


def test_who_failed_goes_before_who_was_seen() -> None:
    candidates = full()
    candidates.settle("n3", Standing.SEEN)
    candidates.settle("n7", Standing.FAILED)
    assert candidates.admit(advert("one", "10.0.2.1")) == (True, "n7")
    assert candidates.admit(advert("two", "10.0.2.2")) == (True, "n3")
    assert candidates.admit(advert("three", "10.0.2.3")) == (False, None)
    assert len(candidates) == MOST


def test_what_can_be_no_engine_displaces_nobody() -> None:
    candidates = full()
    candidates.settle("n7", Standing.FAILED)
    assert candidates.admit(advert("voice", "10.0.2.1", Use.NOT_YET)) == (False, None)


def test_what_is_forgotten_stays_forgotten() -> None:
    candidates = Candidates()
    candidates.admit(advert("gone"))
    candidates.forget("gone")
    candidates.settle("gone", Standing.SERVED)
    assert "gone" not in candidates
    assert candidates.standing("gone") is None


def test_of_many_addresses_the_likeliest_three_are_kept() -> None:
    addresses = ["8.8.8.8", "fd12::7", "172.17.0.1", "192.168.1.7", "172.18.0.1", "10.0.0.7", "10.0.0.7"]
    found = read_advert("box", Use.ENGINE, addresses, 11434, "Box.local.")
    assert found is not None
    assert found.addresses == ("10.0.0.7", "192.168.1.7", "172.17.0.1")
    assert found.server == "box.local"


def test_an_announcement_without_a_place_is_none() -> None:
    assert read_advert("box", Use.ENGINE, ["8.8.8.8"], 11434, None) is None
    assert read_advert("box", Use.ENGINE, ["10.0.0.7"], 0, None) is None
    assert read_advert("box", Use.ENGINE, ["10.0.0.7"], None, None) is None
    assert read_advert("box", Use.ENGINE, [], 11434, None) is None
