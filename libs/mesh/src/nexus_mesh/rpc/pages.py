"""Lists in pages: how large one is, and opaque tokens that name where the next begins."""

from __future__ import annotations

import base64
import binascii

import msgspec

from nexus_mesh.core import MeshError, Reason

__all__ = ["not_of_this_list", "number_in", "page_size", "token_of", "words_in"]

DEFAULT, LARGEST = 100, 1000


def page_size(asked: int) -> int:
    """Rows of a page: 0 = 100, at most 1000. Raises INVALID_REQUEST."""
    if asked < 0:
        raise _invalid("page_size", "must not be negative")
    return min(asked or DEFAULT, LARGEST)


def token_of(*words: str) -> str:
    """A token that holds the words: whose list it is, and the row its page ended with."""
    return base64.urlsafe_b64encode(msgspec.json.encode([str(word) for word in words])).decode()


def words_in(token: str, count: int) -> list[str]:
    """The words of a token, exactly so many. Raises INVALID_REQUEST for what is none of ours."""
    try:
        words = msgspec.json.decode(base64.b64decode(token, altchars=b"-_", validate=True), type=list[str])
    except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError):
        raise not_of_this_list() from None
    if len(words) != count:
        raise not_of_this_list()
    return words


def number_in(token: str, label: str) -> int:
    """The number of a token made of a label and one. Raises INVALID_REQUEST."""
    word, number = words_in(token, 2)
    if word != label or not number.isdecimal() or not number.isascii() or len(number) > 18:
        raise not_of_this_list()
    return int(number)


def not_of_this_list() -> MeshError:
    return _invalid(
        "page_token", "is not of this list: pass next_page_token of the page before, and ask the same"
    )


def _invalid(param: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{param} {why}.", metadata={"param": param})
