"""Where a fetch may go, address by address and URL by URL."""

from __future__ import annotations

import pytest
from nexus_fetcher import Rules, Unfetched
from nexus_fetcher.addresses import parse, reachable
from support.attacks import Attacks

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"]
FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1", "64:ff9b:1::1.1.1.1",
    "2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1",
    "fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "5f00::1",
    "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert reachable(address) == address


@pytest.mark.security
def test_no_other_address_is(attacks: Attacks) -> None:
    attacks.count(len(FORBIDDEN))
    assert [address for address in FORBIDDEN if reachable(address) is not None] == []


def test_an_address_inside_an_address_is_what_is_connected_to() -> None:
    assert reachable("::ffff:1.1.1.1") == "1.1.1.1"
    assert reachable("64:ff9b::101:101") == "64:ff9b::101:101", "a network without IPv4 reaches 1.1.1.1 so"


@pytest.mark.security
@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("10.0.0.1", True), ("127.0.0.1", True), ("::1", True), ("fd00::1", True), ("100.64.0.1", True),
        ("169.254.169.254", False), ("::ffff:169.254.169.254", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("fe80::1", False), ("::127.0.0.1", False), ("64:ff9b:1::a9fe:a9fe", False), ("2002:a9fe:a9fe::", False),
    ],
)  # fmt: skip
def test_a_host_of_the_operators_may_be_private_and_nothing_stranger(address: str, reached: bool) -> None:
    assert (reachable(address, listed=True) is not None) is reached


REFUSED = [
    "file:///etc/passwd", "gopher://127.0.0.1:70/", "ftp://a.example/x", "javascript:alert(1)", "//a.example/x",
    "a.example/x", "", "http://", "http:///x", "http://user@169.254.169.254/", "http://good.tld@127.0.0.1/",
    "http://user:pw@a.example/", "http://@a.example/", "http://a.example:22/", "http://a.example:2379/v2/keys",
    "http://127.0.0.1:2379/v2/keys", "http://0x7f.1/", "http://2130706433/", "http://0177.0.0.1/", "http://127.1/",
    "http://0x7f000001/", "http://127.0.0.1.:8080/", "http://[fe80::1%25eth0]/", "http://[::1", "http://a b.example/",
    "http://a.example\\@127.0.0.1/", "http://a.example\t/", "http://a.example\r\nHost: b/", "http://a%2eexample/",
    "http://\u2488.example:99999/", "http://a.example:0x50/", "http://" + "a" * 300 + "/", "http://a/" + "b" * 5000,
    "http://[::ffff:127.0.0.1]:81/", "http://$a/", "http://a..b/", "http://0x7f.0x0.0x0.0x1/", "http://1.2.3.4.5/",
]  # fmt: skip


@pytest.mark.security
def test_urls_that_are_not_taken_at_all(attacks: Attacks) -> None:
    for url in REFUSED:
        attacks.count()
        with pytest.raises(Unfetched):
            parse(url, ())


def test_what_a_url_is_taken_for() -> None:
    target = parse("HTTPS://A.Example./x/../y?q=%20#part", ())
    assert (target.scheme, target.host, target.port) == ("https", "a.example", 443)
    assert (target.path, target.authority, target.listed) == (b"/y?q=%20", b"a.example", False)
    assert parse("http://[2606:4700:0::1111]:80/", ()).authority == b"[2606:4700::1111]"
    assert parse("https://b\u00fccher.example/", ()).host == "xn--bcher-kva.example"


def test_the_operator_names_a_host_with_its_port_or_without() -> None:
    private = Rules(("media.lan", "10.0.0.7:8000", "[fd00::7]:8000")).private
    assert parse("http://media.lan/x", private).listed
    assert parse("https://MEDIA.lan/x", private).listed
    assert parse("http://10.0.0.7:8000/x", private).listed
    assert parse("http://[fd00::7]:8000/x", private).listed
    assert not parse("http://10.0.0.7/x", private).listed
    assert not parse("http://other.lan/x", private).listed
    with pytest.raises(Unfetched):
        parse("http://media.lan:8000/x", private)
    for wrong in ("http://media.lan", "*", "media.lan/x", "Media.lan", "a b", ""):
        with pytest.raises(ValueError, match="not a host"):
            Rules((wrong,))
