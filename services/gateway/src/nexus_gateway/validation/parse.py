"""From a body to an InferenceRequest: one parse, one check, one list of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.core import InferenceRequest
from nexus_gateway.validation import chat, completion, embedding
from nexus_gateway.validation.chat import check_chat
from nexus_gateway.validation.completion import check_completion
from nexus_gateway.validation.denied import refuse_denied
from nexus_gateway.validation.embedding import check_embedding
from nexus_gateway.validation.engine import ENGINE, OPTIONS
from nexus_gateway.validation.json_guard import decode_object
from nexus_gateway.validation.params import Rule, check_object, mapping
from nexus_gateway.validation.refusals import bad_value, invalid, shown
from nexus_gateway.validation.sampling import streaming

Check = Callable[[dict[str, Any]], tuple[dict[int, str], int]]
"""What a body needs (capability -> the parameter that asks for it), and how many answers."""

CHECKS: dict[int, tuple[Check, Mapping[str, Rule]]] = {
    model_pb2.OPERATION_CHAT: (check_chat, chat.RULES),
    model_pb2.OPERATION_COMPLETION: (check_completion, completion.RULES),
    model_pb2.OPERATION_EMBEDDING: (check_embedding, embedding.RULES),
}


ANYWHERE: dict[str, Rule] = {**embedding.RULES, **completion.RULES, **chat.RULES, **ENGINE}
"""What may stand beside an endpoint's own parameters. Engines take at one what OpenAI takes at another only."""


def parse_request(
    operation: int,
    body: bytes,
    *,
    request_id: str,
    credential: str | None,
    strict: bool = False,
    model: str = "",
) -> InferenceRequest:
    """One of a body's bytes, at once. Raises as check_request()."""
    return check_request(
        operation,
        decode_object(body),
        size=len(body),
        request_id=request_id,
        credential=credential,
        strict=strict,
        model=model,
    )


def check_request(
    operation: int,
    parsed: dict[str, Any],
    *,
    size: int,
    request_id: str,
    credential: str | None,
    strict: bool = False,
    model: str = "",
) -> InferenceRequest:
    """One of the object in a body of `size` bytes.

    MeshError INVALID_REQUEST (metadata: code, param) or UNSUPPORTED_PARAMETER (metadata: param).

    `strict` refuses parameters that are not known here, instead of handing them to the backend. `model`: its name
    where it is said beside the body, which may then leave it out but not say another.
    """
    if model and parsed.setdefault("model", model) != model:
        raise bad_value("model", "be the same in the body as beside it, or be left out of one of them")
    refuse_denied(parsed)
    if type(parsed.get("metadata")) is dict:
        refuse_denied(parsed["metadata"], "metadata")
    check, known = CHECKS[operation]
    if strict:
        _refuse_unknown(parsed, known)
    needs, answers = check(parsed)
    _check_engine(parsed, known)
    stream, include_usage = streaming(parsed)

    return InferenceRequest(
        operation=operation,
        model=parsed["model"],
        body=parsed,
        stream=stream,
        include_usage=include_usage,
        needs=frozenset(needs),
        asked=needs,
        request_id=request_id,
        credential=credential,
        answers=answers,
        base64=operation == model_pb2.OPERATION_EMBEDDING and _take_base64(parsed),
        size=size,
    )


def _check_engine(body: dict[str, Any], known: Mapping[str, Rule]) -> None:
    """The types of what engines take beyond the endpoint's own parameters; who may send it is decided later."""
    extra = body.keys() - known.keys()
    if not extra:
        return
    for name in [name for name in extra if body[name] is None]:
        del body[name]
    check_object(body, {name: ANYWHERE[name] for name in extra & ANYWHERE.keys()}, ())
    if body.get("options") is not None:
        mapping(body["options"], "options")
        for name, rule in OPTIONS.items():
            if body["options"].get(name) is not None:
                rule(body["options"][name], f"options.{name}")


def _refuse_unknown(body: dict[str, Any], known: Mapping[str, Rule]) -> None:
    for name in body:
        if name not in known:
            raise invalid(
                "unknown_parameter", f"'{shown(name)}' is not a parameter of this URL.", shown(name)
            )


def _take_base64(body: dict[str, Any]) -> bool:
    wanted = body.get("encoding_format") == "base64"
    body["encoding_format"] = "float"
    return wanted
