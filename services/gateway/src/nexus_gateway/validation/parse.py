"""The request that a body is: parsed as JSON, once; what is refused, what is asked for, what travels on as it came."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Generator, Iterator, Mapping

import msgspec
from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason, at_once
from nexus_operations import Form, Operation, Shape, spec_of

from nexus_gateway.access import Principal
from nexus_gateway.core import InferenceRequest
from nexus_gateway.validation.audio import (
    OF_TRANSCRIPTION,
    OF_TRANSLATION,
    check_transcription,
    check_translation,
)
from nexus_gateway.validation.chat import OF_CHAT, check_chat
from nexus_gateway.validation.documents import OF_OCR, check_ocr
from nexus_gateway.validation.engine import ENGINE, OPTIONS
from nexus_gateway.validation.images import links_in
from nexus_gateway.validation.json_guard import HALF, MAX_KEYS, STEP, check_keys, check_shape, explain
from nexus_gateway.validation.params import Rule, check_object, mapping, refuse_denied, streaming
from nexus_gateway.validation.pictures import (
    OF_EDITS,
    OF_PICTURES,
    OF_VARIATIONS,
    check_edits,
    check_pictures,
    check_variations,
)
from nexus_gateway.validation.prompts import OF_COMPLETION, OF_EMBEDDING, check_completion, check_embedding
from nexus_gateway.validation.refusals import bad_value, invalid, shown, unsupported, wrong_type
from nexus_gateway.validation.speech import OF_SPEECH, check_speech, takes_events
from nexus_gateway.validation.videos import OF_VIDEO, check_video

__all__ = ["CHECKS", "check_request", "decode_object", "decoding", "granted"]

_decoder = msgspec.json.Decoder()


def decode_object(body: bytes | bytearray) -> JsonObject:
    """The JSON object in `body`; MeshError INVALID_REQUEST when it is none, or too deep or too large."""
    return _decoded(body, _is_odd(body) and at_once(check_shape(body)))


def decoding(body: bytes | bytearray) -> Generator[None, None, JsonObject]:
    """The same in steps, for a large body."""
    may_have_many_keys = _is_odd(body) and (yield from check_shape(body))
    yield
    return _decoded(body, may_have_many_keys)


def _decoded(body: bytes | bytearray, may_have_many_keys: bool) -> JsonObject:
    try:
        value = _decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise explain(body, error) from None
    if type(value) is not dict:
        got = wrong_type("body", "a JSON object", value)
        raise invalid("invalid_type", got.message.replace("'body'", "The body", 1))
    if may_have_many_keys:
        check_keys(value)
    return value


def _is_odd(body: bytes | bytearray) -> bool:
    """Whether to look closely: finding bytes bounds depth and nodes from above, at memory speed."""
    return _has(body, b"[", HALF) or _has(body, b"{", HALF) or _has(body, b",", MAX_KEYS)


def _has(body: bytes | bytearray, what: bytes, times: int) -> bool:
    """Whether it is in there so many times. Stops there: of most bodies little is looked at twice."""
    if len(body) <= STEP:
        return body.count(what) >= times
    at = -1
    for _ in range(times):
        at = body.find(what, at + 1)
        if at < 0:
            return False
    return True


OF_OPTIONS = "options."
RESIDENCE = frozenset({"keep_alive", "ttl", "num_ctx", "draft_model"})
"""They load, unload or reload a model that everybody shares."""
RUNNER = frozenset({
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread", "low_vram",
    "numa", "f16_kv", "vocab_only", "logits_all", "embedding_only", "draft_num_predict",
})  # fmt: skip
"""The same of Ollama's options."""


def granted(
    body: Mapping[str, object], passthrough: Collection[str] = (), *, manages: bool = False
) -> list[str]:
    """The parameters of a request that go to a backend though they do not shape the answer.

    `passthrough`: names the operator lets everybody send. `manages`: whether the key may manage models, and so decide
    about their residence; what else is not known here is then for the backend's own list to refuse. Other keys get
    CALLER_SCOPE for what changes a model's residence, and UNSUPPORTED_PARAMETER for what is not known.
    """
    let: list[str] = []
    for name, residence, known in _unlisted(body):
        if (
            name in passthrough
            or (name.startswith(OF_OPTIONS) and "options" in passthrough)
            or (manages and residence)
        ):
            let.append(name)
        elif not manages:
            raise _refused(name, residence, known)
    return let


def _unlisted(body: Mapping[str, object]) -> Iterator[tuple[str, bool, Collection[str]]]:
    """What is on no table: its name, whether it decides about a model's residence, and names it might have meant."""
    for name in body:
        if name not in ANYWHERE:
            yield name, name in RESIDENCE, ANYWHERE
    options = body.get("options")
    for name in options if isinstance(options, dict) else ():
        if name not in OPTIONS:
            yield OF_OPTIONS + name, name in RUNNER, [OF_OPTIONS + each for each in OPTIONS]


def _refused(name: str, residence: bool, known: Collection[str]) -> MeshError:
    if residence:
        return MeshError(
            Reason.CALLER_SCOPE,
            f"'{name}' loads or unloads a model that others use, and this API key may ask models and not manage them. "
            "Leave it out, or let the key: `nexus keys update KEY --manage`.",
            metadata={"param": name},
        )
    near = difflib.get_close_matches(name[:64], known, 1, 0.8)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    return unsupported(
        shown(name),
        f"this gateway does not know it.{meant} Leave it out; the operator lets it through with "
        "`passthrough` under [gateway].",
    )


Check = Callable[[JsonObject], tuple[dict[int, str], int]]
"""What a body needs (capability -> the parameter that asks for it), and how many answers."""

CHECKS: dict[int, tuple[Check, Mapping[str, Rule]]] = {
    Operation.CHAT: (check_chat, OF_CHAT),
    Operation.COMPLETION: (check_completion, OF_COMPLETION),
    Operation.EMBEDDING: (check_embedding, OF_EMBEDDING),
    Operation.TRANSCRIPTION: (check_transcription, OF_TRANSCRIPTION),
    Operation.TRANSLATION: (check_translation, OF_TRANSLATION),
    Operation.SPEECH: (check_speech, OF_SPEECH),
    Operation.IMAGE: (check_pictures, OF_PICTURES),
    Operation.IMAGE_EDIT: (check_edits, OF_EDITS),
    Operation.IMAGE_VARIATION: (check_variations, OF_VARIATIONS),
    Operation.OCR: (check_ocr, OF_OCR),
    Operation.VIDEO: (check_video, OF_VIDEO),
}
"""What is checked of each kind of work that has a URL. What is not here is refused at every door."""


STREAMED = frozenset({Shape.CHUNKS, Shape.UPLOAD})
"""Shapes of work whose answer may come as it is made."""

ANYWHERE: dict[str, Rule] = {
    name: rule for _, rules in reversed(CHECKS.values()) for name, rule in rules.items()
} | ENGINE
"""What may stand beside an endpoint's own parameters. Engines take at one what OpenAI takes at another only."""


def parse_request(
    operation: int,
    body: bytes,
    *,
    request_id: str,
    principal: Principal,
    strict: bool = False,
    model: str = "",
) -> InferenceRequest:
    """One of a body's bytes, at once. Raises as check_request()."""
    return check_request(
        operation,
        decode_object(body),
        size=len(body),
        request_id=request_id,
        principal=principal,
        strict=strict,
        model=model,
    )


def check_request(
    operation: int,
    parsed: JsonObject,
    *,
    size: int,
    request_id: str,
    principal: Principal,
    strict: bool = False,
    model: str = "",
    fetches: bool = False,
) -> InferenceRequest:
    """One of the object in a body of `size` bytes.

    MeshError INVALID_REQUEST (metadata: code, param) or UNSUPPORTED_PARAMETER (metadata: param).

    `strict` refuses parameters that are not known here, instead of handing them to the backend. `model`: its name
    where it is said beside the body, which may then leave it out but not say another.
    `fetches`: whether images may be given by links.
    """
    if model and parsed.setdefault("model", model) != model:
        raise bad_value("model", "be the same in the body as beside it, or be left out of one of them")
    refuse_denied(parsed)
    if type(parsed.get("metadata")) is dict:
        refuse_denied(parsed["metadata"], "metadata")
    check, known = CHECKS[operation]
    if strict:
        _refuse_unknown(parsed, known)
    spec = spec_of(operation)
    keeps = spec.form is Form.FILE and parsed.get("response_format") == "url"
    needs, answers = check(parsed)
    _check_engine(parsed, known)
    stream, include_usage = streaming(parsed)
    if spec.form is Form.BYTES:
        stream = takes_events(parsed)
    elif spec.form is Form.FILE:
        parsed.pop("stream", None)
    elif stream and spec.shape not in STREAMED:
        raise unsupported("stream", f"{spec.title} comes in one piece. Remove it.")

    links = tuple(links_in(parsed["messages"])) if model_pb2.CAPABILITY_VISION in needs else ()
    if links and not fetches:
        raise invalid(
            "invalid_image_url",
            f"'{links[0][1]}' must be a data: URL; this gateway fetches nothing for its clients. "
            "Send the image itself as data:image/png;base64,...",
            links[0][1],
        )
    return InferenceRequest(
        operation=operation,
        model=parsed["model"],
        body=parsed,
        stream=stream,
        include_usage=include_usage,
        needs=frozenset(needs),
        asked=needs,
        request_id=request_id,
        principal=principal,
        answers=answers,
        base64=spec.form is Form.VECTOR and _take_base64(parsed),
        size=size,
        links=links,
        keeps=keeps,
    )


def _check_engine(body: JsonObject, known: Mapping[str, Rule]) -> None:
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


def _refuse_unknown(body: JsonObject, known: Mapping[str, Rule]) -> None:
    for name in body:
        if name not in known:
            raise invalid(
                "unknown_parameter", f"'{shown(name)}' is not a parameter of this URL.", shown(name)
            )


def _take_base64(body: JsonObject) -> bool:
    wanted = body.get("encoding_format") == "base64"
    body["encoding_format"] = "float"
    return wanted
