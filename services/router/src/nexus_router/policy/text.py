"""Policy as text: JSON in, policy out, and the one text that equal policies share."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import path_of, sentences
from nexus_routing import Policy
from pydantic import ValidationError

__all__ = ["LARGEST", "canonical", "document", "fingerprint", "read", "validate"]

LARGEST = 256 * 1024
"""Bytes of a policy's text."""


def read(text: str) -> Policy:
    """The policy in a JSON text. Raises INVALID_REQUEST with every problem."""
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise _refused([f"it is larger than {LARGEST // 1024} KiB"])
    try:
        given = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number)
        json.dumps(given, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _refused([f"it is not JSON: line {error.lineno}, column {error.colno}"]) from None
    except UnicodeEncodeError:
        raise _refused(["it holds half a character (a surrogate without its other half)"]) from None
    except RecursionError:
        raise _refused(["it is nested too deeply"]) from None
    except ValueError as error:
        raise _refused([str(error)]) from None
    return validate(given)


def validate(given: Any) -> Policy:
    """The policy in parsed JSON. Raises INVALID_REQUEST with every problem."""
    if not isinstance(given, dict):
        raise _refused(["it must be a table, which in JSON is an object"])
    if "routing" in given and "routing" not in Policy.model_fields:
        raise _refused(
            ["routing: a policy is what stands inside the table [routing], without that name"], "routing"
        )
    try:
        policy = Policy.model_validate(given)
        written = document(policy)
        if _has_null(written):
            raise _refused(["null cannot be written in TOML: leave out what is not to be set"])
        if Policy.model_validate(written) == policy:
            return policy
        problems = ["routing: it does not read the same once it is written down; is a number out of range?"]
    except ValidationError as error:
        problems = sentences(error, "routing")
    place, _, _ = problems[0].partition(": ")
    if any(key not in Policy.model_fields for key in given):
        problems.append(f"known settings are {', '.join(Policy.model_fields)}")
    raise _refused(problems, place)


def document(policy: Policy) -> dict[str, Any]:
    """The table [routing], less what is left at its default."""
    return policy.model_dump(mode="json", exclude_defaults=True, by_alias=True)


def canonical(policy: Policy) -> str:
    """The policy's text, in its author's order."""
    return json.dumps(document(policy), ensure_ascii=False)


def fingerprint(policy: Policy) -> str:
    """The same for policies that say the same, 16 hexadecimal digits."""
    text = json.dumps(document(policy), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{path_of(key)} is set twice")
        found[key] = value
    return found


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _refused(problems: list[str], param: str = "json") -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST, f"The policy does not hold: {'; '.join(problems)}.", metadata={"param": param}
    )
