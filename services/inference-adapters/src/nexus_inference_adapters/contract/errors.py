"""What a backend's failure means in the mesh, as one table. Its words reach the caller only where they help him."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
from aiohttp.http_exceptions import HttpProcessingError
from nexus_mesh.core import UNREACHED, MeshError, Reason

from nexus_inference_adapters.contract.work import Json, JsonObject

__all__ = ["FAILURES", "from_answer", "from_event", "malformed", "too_large", "translated"]

CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
BROKEN = (aiohttp.ClientResponseError, HttpProcessingError)
FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError)

MAX_QUOTE = 300
DEFAULT_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 86_400.0
"""A long wait is told as it is: whoever decides whether to wait must not believe it short."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule that fits wins. `statuses` empty = any; `words` is searched in type, code and message.

    `code` is what the caller reads in the error's code, where the reason has none of its own.
    """

    statuses: tuple[int, ...]
    words: str
    reason: Reason
    message: str
    quote: bool = False
    code: str = ""

    def fits(self, status: int, text: str) -> bool:
        return (not self.statuses or status in self.statuses) and re.search(
            self.words, text, re.IGNORECASE
        ) is not None


TOO_LONG = (
    r"context_length_exceeded|exceed_context_size|maximum context length|context (length|size|window)"
    r"|exceeds the (available )?context|input length exceeds"
)
PROMPT_TOKENS = re.compile(
    r"messages resulted in (\d{1,10})|\((\d{1,10}) in (?:the|your) (?:messages|prompt)|has (\d{1,10}) input tokens"
)
# A verdict on the prompt, whatever status it comes with: another backend must not be asked for a kinder one.
FILTERED = r"content_filter|content_policy_violation|content management policy|ResponsibleAIPolicyViolation"
ANY = ""
RULES = (
    Rule((), TOO_LONG, Reason.CONTEXT_LENGTH, "The prompt does not fit the model's context."),
    Rule((), FILTERED, Reason.INVALID_REQUEST, "The backend's content filter refused the request.",
         code="content_filter"),
    Rule((401, 403, 407), ANY, Reason.UPSTREAM_ERROR, "The backend refused NEXUS; check its api_key_env."),
    Rule((), r"auto.tool.choice|tool.call.parser", Reason.UNSUPPORTED_PARAMETER,
         "The backend was started without tool calling."),
    Rule((400, 404, 501), r"does not support|not supported|not_supported|NotImplemented", Reason.CAPABILITY_MISSING,
         "The model cannot do this on its backend", quote=True),
    Rule((404,), r"model", Reason.MODEL_NOT_FOUND, "The backend does not have this model."),
    Rule((404, 405, 501), ANY, Reason.CAPABILITY_MISSING, "The backend does not do this kind of work."),
    Rule((408, 504), ANY, Reason.TIMEOUT, "The backend reports that its own time limit passed."),
    Rule((413,), ANY, Reason.REQUEST_TOO_LARGE, "The request is larger than the backend accepts."),
    Rule((429,), ANY, Reason.RATE_LIMIT, "The backend takes no more requests for now."),
    Rule((503,), r"loading|not ready|starting|unavailable_error", Reason.MODEL_NOT_READY,
         "The backend is still loading the model."),
    Rule((503,), r"busy|queue|pending|overload|capacity|slot", Reason.OVERLOAD, "The backend is busy."),
    Rule((503,), ANY, Reason.BACKEND_DOWN, "The backend says it is unavailable."),
    Rule((400, 409, 411, 422), ANY, Reason.INVALID_REQUEST, "The backend refused the request", quote=True),
    Rule((499,), ANY, Reason.BACKEND_LOST, "The backend gave the request up."),
)  # fmt: skip
STATUSES = (
    (r"rate.?limit|too.many.requests|quota", 429, True),
    (r"overload|server.?busy|too.busy", 503, True),
    (r"authentication|permission|api.?key", 401, False),
    (r"model.?not.?found|not_found", 404, False),
    (r"timeout", 504, False),
    (r"invalid.?request|BadRequest|validation", 400, False),
)
"""What an error says of itself -> the status it stands for. True: its message counts too, not only type and code."""
OTHERWISE = Rule((), ANY, Reason.UPSTREAM_ERROR, "The backend failed while working on the request.")


def from_answer(status: int, headers: Mapping[str, str], raw: bytes) -> MeshError:
    """The error of an answer whose status is not 200."""
    if 200 <= status < 300:
        return malformed("The backend's answer has a status that carries no content.")
    if 300 <= status < 400:
        return MeshError(
            Reason.UPSTREAM_ERROR, "The backend redirects; NEXUS never follows, so correct its url."
        )
    try:
        body = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        body = None
    return _judge(status, body, headers.get("Retry-After"))


def from_event(body: Json) -> MeshError:
    """The error a backend reports with status 200, in a stream or in place of an answer; `body` is its object."""
    return _judge(_status(_details(body)), body, None)


def _status(details: JsonObject) -> int:
    """The status an error without one would have had: its code where that is a status, else by its words."""
    for said in (details.get("code"), details.get("status")):
        if isinstance(said, str) and re.fullmatch(r"[45]\d\d", said):
            return int(said)
        if type(said) is int and 400 <= said < 600:
            return said
    words = " ".join(str(details[key]) for key in ("type", "code") if isinstance(details.get(key), str))
    spoken = f"{words} {details.get('message', '')}"
    for pattern, status, everywhere in STATUSES:
        if re.search(pattern, spoken if everywhere else words, re.IGNORECASE):
            return status
    return 500


def malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)


def translated(error: BaseException) -> MeshError:
    """What a failure of the connection means."""
    if isinstance(error, CONNECTING):
        return MeshError(
            Reason.BACKEND_DOWN,
            "The backend could not be reached; is it running at its address?",
            metadata={UNREACHED: "1"},
        )
    if isinstance(error, BROKEN):
        return malformed("The backend's answer is not HTTP.")
    return MeshError(Reason.BACKEND_LOST, "The backend closed the connection before its answer was complete.")


def too_large(limit: int) -> MeshError:
    return MeshError(Reason.RESPONSE_TOO_LARGE, f"The backend's answer is larger than {limit} bytes.")


def _judge(status: int, body: Json, retry_after: str | None) -> MeshError:
    details = _details(body)
    text = " ".join(str(details[key]) for key in ("type", "code", "message") if details.get(key) is not None)
    rule = next((rule for rule in RULES if rule.fits(status, text)), OTHERWISE)
    metadata = {"upstream_status": str(status)} | ({"code": rule.code} if rule.code else {})
    if rule.reason is Reason.CONTEXT_LENGTH and (limit := _context_limit(details)):
        metadata["context_tokens"] = limit
        if prompt := _prompt_tokens(details):
            metadata["prompt_tokens"] = prompt
    if rule.reason is Reason.UNSUPPORTED_PARAMETER:
        metadata["param"] = "tools"
    elif isinstance(details.get("param"), str):
        metadata["param"] = details["param"][:64]
    message = _quoted(rule.message, details) if rule.quote else rule.message
    waits = rule.reason in (Reason.OVERLOAD, Reason.RATE_LIMIT, Reason.MODEL_NOT_READY)
    return MeshError(
        rule.reason, message, metadata=metadata, retry_after=_seconds(retry_after) if waits else None
    )


def _details(body: Json) -> JsonObject:
    """The fields of every form in which backends report errors: an object, a text, flat, or FastAPI's detail."""
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    if isinstance(detail := body.get("detail"), dict):
        return detail
    return {
        "message": body.get("message") or body.get("detail") or "",
        "type": body.get("type"),
        "code": body.get("code"),
    }


def _context_limit(details: JsonObject) -> str | None:
    if isinstance(details.get("n_ctx"), int):
        return str(details["n_ctx"])
    found = re.search(r"maximum context length is (\d{1,10})", str(details.get("message")))
    return found[1] if found else None


def _prompt_tokens(details: JsonObject) -> str | None:
    """Of the prompt alone, where the backend tells them apart from the answer's."""
    if isinstance(details.get("n_prompt_tokens"), int):
        return str(details["n_prompt_tokens"])
    found = PROMPT_TOKENS.search(str(details.get("message")))
    return next(filter(None, found.groups())) if found else None


def _quoted(message: str, details: JsonObject) -> str:
    words = re.sub(r"\s+", " ", str(details.get("message") or "")).strip()
    printable = "".join(character for character in words if character.isprintable())
    return f"{message}: {printable[:MAX_QUOTE]}" if printable else f"{message}."


def _seconds(retry_after: str | None) -> float:
    if retry_after is None or not re.fullmatch(r"\d{1,9}(\.\d+)?", retry_after):
        return DEFAULT_RETRY_SECONDS
    return min(max(float(retry_after), DEFAULT_RETRY_SECONDS), MAX_RETRY_SECONDS)
