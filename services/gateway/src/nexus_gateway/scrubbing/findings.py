"""Where personal data stands in a text. Imports its libraries, so only what scrubs imports it.

Found is what has a form of its own: by pattern, and by its check digits where it has any. Names, addresses and what a
text tells in words have none, and are not found.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import iban, luhn
from stdnum.us import ssn

__all__ = ["KINDS", "Finding", "find"]

PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT")
"""Where national numbers are known from; those written with + are known from everywhere."""
CARD_DIGITS, CARD_STARTS = range(13, 20), "23456"
SHORTEST_IBAN = 15

SECRETS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,20000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    r"|\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\bnx_[a-z0-9]{1,16}_[a-z0-9]{12}_[A-Za-z0-9_-]{20,}|\bnxj_[\w-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bhf_[A-Za-z0-9]{20,}"
    r"|\bxox[a-z]-[A-Za-z0-9-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?i:\b(?:password|passwd|secret|token|api[_-]?key)['\"]?\s{0,3}[:=]\s{0,3})['\"]?[^\s'\",;]{4,}"
)
EMAIL = re.compile(r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
DIGITS = re.compile(r"\d(?:[ .-]?\d){12,63}")
IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
SSN = re.compile(r"(?<!\d)\d{3}([- ])\d{2}\1\d{4}(?!\d)")
IP = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\d)|(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"
)
GROUP = re.compile(r"\d+")

Span = tuple[int, int]


class Finding(NamedTuple):
    """A stretch of a text, and what it is."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Finding]:
    """All there is in a text, in order, no two of them overlapping."""
    found = [Finding(*span, kind) for kind, search in KINDS.items() for span in search(text)]
    found.sort(key=lambda each: (each.start, -each.end))
    apart: list[Finding] = []
    for each in found:
        if apart and each.start < apart[-1].end:
            # What two kinds claim goes as a whole, under the name of the one that began it.
            apart[-1] = apart[-1]._replace(end=max(apart[-1].end, each.end))
        else:
            apart.append(each)
    return apart


def _matching(pattern: re.Pattern[str]) -> Callable[[str], Iterator[Span]]:
    return lambda text: (match.span() for match in pattern.finditer(text))


def _cards(text: str) -> Iterator[Span]:
    """Whole groups of digits that together are a card number, also beside others in a row."""
    for row in DIGITS.finditer(text):
        groups = [group.span() for group in GROUP.finditer(text, *row.span())]
        for first, (start, _) in enumerate(groups):
            if _ascii(text[start]) not in CARD_STARTS:
                continue
            for _, end in groups[first : first + CARD_DIGITS[-1]]:
                number = _plain(text[start:end])
                if len(number) > CARD_DIGITS[-1]:
                    break
                if len(number) in CARD_DIGITS and luhn.is_valid(number):
                    yield start, end


def _ibans(text: str) -> Iterator[Span]:
    """The longest beginning of what looks like one that holds its check digits."""
    for match in IBAN.finditer(text):
        for end in range(match.end(), match.start() + SHORTEST_IBAN - 1, -1):
            if text[end - 1].isalnum() and iban.is_valid(text[match.start() : end]):
                yield match.start(), end
                break


def _ssns(text: str) -> Iterator[Span]:
    return (match.span() for match in SSN.finditer(text) if ssn.is_valid(_plain(match.group())))


def _ips(text: str) -> Iterator[Span]:
    for match in IP.finditer(text):
        try:
            address = ipaddress.ip_address(_ascii(match.group()))
        except ValueError:
            continue
        if not (address.is_unspecified or address.is_loopback):
            yield match.span()


def _phones(text: str) -> Iterator[Span]:
    if sum(map(str.isdigit, text)) < 5:  # the matcher is slow, and most texts have no number
        return
    for region in (None, *PHONE_REGIONS):
        leniency = Leniency.POSSIBLE if region is None else Leniency.VALID
        for match in PhoneNumberMatcher(text, region, leniency, max_tries=sys.maxsize):
            yield match.start, match.end


def _ascii(text: str) -> str:
    """Digits of any script as 0 to 9."""
    return text if text.isascii() else "".join(str(int(c)) if c.isdecimal() else c for c in text)


def _plain(text: str) -> str:
    """Its digits alone."""
    return "".join(c for c in _ascii(text) if c.isdecimal())


KINDS: dict[str, Callable[[str], Iterator[Span]]] = {
    "secret": _matching(SECRETS),
    "email": _matching(EMAIL),
    "iban": _ibans,
    "card": _cards,
    "ssn": _ssns,
    "ip": _ips,
    "phone": _phones,
}
"""What is found, and how. Of two that begin at one place the longer gives its name."""
