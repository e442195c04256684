"""What NEXUS's own URLs take and give, for /openapi.json."""

from __future__ import annotations

from nexus_operations import SPECS

from nexus_gateway.dialects.nexus.explain import Candidate, PromptTokens, RouteExplanation
from nexus_gateway.dialects.nexus.front import FrontDoor
from nexus_gateway.dialects.nexus.health import Alive
from nexus_gateway.dialects.nexus.lifecycle import ManagedModel, PullRequest
from nexus_gateway.dialects.nexus.me import Left, May, Me
from nexus_gateway.dialects.nexus.metadata import (
    Fleet,
    FormGroup,
    FormLayout,
    ModelMetadata,
    OperationMetadata,
    Work,
)
from nexus_gateway.dialects.own_headers import ASKED, ZONE
from nexus_gateway.fleet import Readiness
from nexus_gateway.http import EVENTS, Call, Content
from nexus_gateway.validation import CHECKS, body_shape

__all__ = ["ALIVE", "EXPLAIN", "FLEET", "FRONT", "LINK", "MANAGE", "ME", "METADATA", "METRICS", "READY"]

NAME = "llama3.2:3b"
BACKEND = {"backend": "Which one, where several have the model."}

FRONT = (
    Call(
        "GET",
        "What this is: a page for a browser, JSON for programs.",
        (
            Content(FrontDoor, FrontDoor("http://127.0.0.1:8080/v1", needs_key=False, models=[NAME])),
            Content(None, media="text/html"),
        ),
    ),
)
ME = (
    Call(
        "GET",
        "Who the key makes its caller, what that one may do, and what is left.",
        (
            Content(
                Me,
                Me("k7h2...", "laptop", "default", [], May(False, False), [NAME], Left(None, 67_108_864)),
            ),
        ),
    ),
)
SPEAKS = OperationMetadata(
    model="espeak-ng",
    operation="speech",
    method="POST",
    path="/v1/audio/speech",
    content_type="application/json",
    capabilities=[],
    context_tokens=None,
    schema={
        "type": "object",
        "required": ["input", "model"],
        "properties": {"model": {"const": "espeak-ng"}, "input": {"type": "string", "minLength": 1}},
    },
    ui=FormLayout(["input"], [FormGroup("input", "What to work on", ["input"])], []),
)
SPEAKER = ModelMetadata("espeak-ng", "espeak-ng", [SPEAKS])
KNOWN = {b"if-none-match": "Tags of answers that the client has."}
TAG = {b"etag": "The same for as long as the answer is, at every gateway of the mesh."}
FLEET = (
    Call(
        "GET",
        "What this key can ask for now, and a JSON Schema of every request, with hints for a form.",
        (Content(Fleet, Fleet([Work("speech", "POST", "/v1/audio/speech", ["espeak-ng"])], [SPEAKER])),),
        asked=KNOWN,
        told=TAG,
        also={304: None},
    ),
)
METADATA = (
    Call(
        "GET",
        "The same of one model.",
        (Content(ModelMetadata, SPEAKER),),
        query={"operation": "Of one of its operations alone: as the path that ends in it."},
        asked=KNOWN,
        told=TAG,
        also={304: None},
    ),
    Call(
        "GET",
        "The same of one operation of a model.",
        (Content(OperationMetadata, SPEAKS),),
        path="/metadata/{model_id:path}/{operation}",
        asked=KNOWN,
        told=TAG,
        also={304: None},
    ),
)
EXPLAIN = (
    Call(
        "POST",
        "Where a request would go, and why not elsewhere. Takes the body of any request, and runs nothing.",
        (
            Content(
                RouteExplanation,
                RouteExplanation(
                    NAME, NAME, [], False, None, [Candidate(NAME, 1)], PromptTokens(9, False, "llama.cpp")
                ),
            ),
        ),
        body=Content(
            {"anyOf": [body_shape(number) for number in CHECKS if not SPECS[number].files]},
            {"model": NAME, **SPECS[min(CHECKS)].example("Hello")},
        ),
        asked={ZONE: ASKED[ZONE]},
    ),
)
MANAGE = (
    Call(
        "POST",
        "Load a model into memory. For keys made with --manage.",
        (Content(ManagedModel, ManagedModel(NAME, "ollama", "studio/adapter/main", state="loaded")),),
        path="/models/{model_id:path}/load",
        query=BACKEND,
    ),
    Call(
        "POST",
        "Take a model out of memory. For keys made with --manage.",
        (Content(ManagedModel, ManagedModel(NAME, "ollama", "studio/adapter/main", state="unloaded")),),
        path="/models/{model_id:path}/unload",
        query=BACKEND,
    ),
    Call(
        "POST",
        "Fetch a model to a backend. The answer is a stream of its progress. For keys made with --manage.",
        (Content(None, 'data: {"object":"model.pull.done","id":"llama3.2:3b"}\n\ndata: [DONE]\n\n', EVENTS),),
        path="/models/pull",
        body=Content(PullRequest, PullRequest(NAME)),
    ),
    Call(
        "DELETE",
        "Delete a model from a backend's disk. For keys made with --manage.",
        (Content(ManagedModel, ManagedModel(NAME, "ollama", "studio/adapter/main", deleted=True)),),
        query=BACKEND,
    ),
)
ALIVE = (Call("GET", "The process answers: that is all it says.", (Content(Alive, Alive()),)),)
READY = (
    Call(
        "GET",
        "Whether requests can be served now, and what is missing.",
        (Content(Readiness, Readiness(True, [], False, 0.0)),),
        also={
            503: Content(
                Readiness, Readiness(False, ["no routing snapshot: the router has not been heard yet"])
            )
        },
    ),
)
METRICS = (Call("GET", "For Prometheus. Only where no key is needed.", (Content(None, media="text/plain"),)),)
LINK = tuple(
    Call(
        method,
        "What an answer has linked to, for whoever has the link: no key is asked. All of it, or a range of it.",
        (Content(None, "the bytes of the file", "application/octet-stream"),),
        path="/links/{token}",
        told={b"content-range": "Which bytes of how many. With 206 and 416."},
        asked={b"range": "bytes=FIRST-LAST, FIRST- or -LENGTH: answered with status 206."},
        also={206: Content(None, media="application/octet-stream")},
    )
    for method in ("GET", "HEAD")
)
