"""What must be true of the mesh in containers. Each function yields the name and the detail of what holds."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import openai

from tools.containers import inside
from tools.containers.mesh import SERVICES, ContainerMesh, eventually
from tools.containers.podman import CommandFailed

__all__ = ["CHECKS", "CheckFailed", "ChecksOf"]

ChecksOf = Callable[[ContainerMesh], Iterator[tuple[str, str]]]
MODEL = "nexus-demo"
SAID = "The weather is very nice today."
QUESTION: Any = [{"role": "user", "content": "What is NEXUS?"}]
JOINED = {"adapter", "gateway", "registry", "router", "store", "vault"}
JOIN_TOKEN = "/var/lib/nexus-join/{}/token"  # noqa: S105 - its place
CERTIFICATES = "/var/lib/nexus-etcd/certificates"
# Its exit code counts what only a host has, such as a supervisor.
DOCTOR = ("sh", "-c", "nexus doctor --json || true")
SECRET_MARKS = ("nxj_", "nx_live_", "PRIVATE KEY")


class CheckFailed(Exception):
    """Something is not as it must be."""


def health(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """Every container is healthy; etcd has no check of its own, and `etcd_is_closed` talks to it."""
    for service in SERVICES:
        if service == "etcd":
            continue
        run = ("healthcheck", "run", mesh.container(service))
        try:
            eventually(f"{service} is healthy", 60, lambda run=run: mesh.podman.succeeds(*run))
        except TimeoutError as error:
            raise CheckFailed(str(error)) from None
        yield f"{service} is healthy", "its health check passes"


def confinement(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """Every container is confined, as the kernel sees it."""
    for service in SERVICES:
        facts = inside.facts(mesh.pid(service))
        if problems := facts.problems():
            raise CheckFailed(f"{service}: {', '.join(problems)}")
        yield f"{service} is confined", f"uid {facts.uid}, no capabilities, no new privileges, read-only root"


def exposure(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """Only the gateway publishes a port."""
    for service in SERVICES:
        published = mesh.podman.run("port", mesh.container(service)).strip()
        if bool(published) != (service == "gateway"):
            raise CheckFailed(f"{service} publishes {published or 'nothing'}")
    yield "only the gateway publishes a port", f"127.0.0.1:{mesh.port}"


def secrecy(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """Secrets stay with whom they are for."""
    for service in SERVICES:
        config = json.dumps(mesh.inspect(service)["Config"])
        if found := [mark for mark in SECRET_MARKS if mark in config]:
            raise CheckFailed(f"{service}'s configuration holds {', '.join(found)}")
    yield "no secret in any environment or command", f"{len(SERVICES)} containers"
    mesh.run("registry", "test", "-r", JOIN_TOKEN.format("registry"))
    for other in ("router", "adapter", "gateway"):
        try:
            mesh.run("registry", "test", "-r", JOIN_TOKEN.format(other))
        except CommandFailed:
            continue
        raise CheckFailed(f"the registry can read the token of the {other}")
    yield "a member reads its own join token only", "as the registry"


def etcd_is_closed(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """etcd answers registries alone: not nobody, not the operator, and not even its own certificate."""
    asks = ["etcdctl", "--endpoints=https://etcd.nexus.internal:2379", "endpoint", "health"]
    trusts = f"--cacert={CERTIFICATES}/ca.pem"
    shows = [f"--cert={CERTIFICATES}/chain.pem", f"--key={CERTIFICATES}/key.pem"]
    for who, shown in (("who shows no certificate", []), ("who shows etcd's own", shows)):
        try:
            mesh.run("etcd", *asks, trusts, *shown)
        except CommandFailed:
            yield f"etcd refuses {who}", "endpoint health fails"
        else:
            raise CheckFailed(f"etcd answered {who}")
    found = {each["check"]: each for each in json.loads(mesh.run("bootstrap", *DOCTOR))}
    door = found["etcd's door"]
    if not door["ok"]:
        raise CheckFailed(door["detail"])
    yield "the doctor proves it", door["detail"]


def membership(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """The registry knows every member."""
    instances = json.loads(mesh.run("bootstrap", "nexus", "status", "--json"))["instances"]
    active = {instance["role"] for instance in instances if instance["state"] == "active"}
    if active != JOINED:
        raise CheckFailed(f"active: {', '.join(sorted(active)) or 'nobody'}")
    yield "nexus status shows every member active", ", ".join(sorted(active))


def admission(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """The endpoint demands a key."""
    for what, key in (("no key", "none"), ("an invented key", "nx_live_abcdefghijkl_invented")):
        try:
            _client(mesh, key).models.list()
        except openai.AuthenticationError as error:
            yield f"{what} is refused", f"{error.status_code} {error.code}"
        else:
            raise CheckFailed(f"{what} was let in")


def answers(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """The official OpenAI client gets answers."""
    client = _new_client(mesh, "answers")
    yield "a chat is answered", repr(_ask(client)[:60])
    chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, temperature=0))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    if not text or len(chunks) < 3 or len(reasons) != 1:
        raise CheckFailed(f"{len(chunks)} chunks, text {text!r}, finish reasons {reasons}")
    yield "a stream is answered", f"{len(chunks)} chunks, finish_reason {reasons[0]}"


def modalities(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """The engines of the profiles paint, speak and hear."""
    client = _new_client(mesh, "modalities")
    offered = ("nexus-painter", "espeak-ng", "whisper")
    try:
        eventually("every engine is offered", 90, lambda: _are_offered(client, offered))
    except TimeoutError as error:
        raise CheckFailed(str(error)) from None
    painted = client.images.generate(model="nexus-painter", prompt="a red circle", size="256x256")
    picture = base64.b64decode((painted.data or [])[0].b64_json or "")
    if not picture.startswith(b"\x89PNG"):
        raise CheckFailed(f"the picture begins with {picture[:8]!r}")
    yield "a picture is painted", f"{len(picture)} bytes of PNG"
    sound = client.audio.speech.create(
        model="espeak-ng", voice="en-us", input=SAID, response_format="wav"
    ).read()
    yield "a sentence is spoken", f"{len(sound)} bytes of WAV"
    heard = client.audio.transcriptions.create(model="whisper", file=("said.wav", sound)).text
    if not {"weather", "today"} <= set(heard.lower().strip(" .!").split()):
        raise CheckFailed(f"{SAID!r} was heard as {heard!r}")
    yield "and understood", repr(heard)


def recovery(mesh: ContainerMesh) -> Iterator[tuple[str, str]]:
    """A killed adapter comes back."""
    client, before = _new_client(mesh, "recovery"), mesh.pid("adapter")
    os.kill(before, signal.SIGKILL)
    try:
        eventually("the adapter runs again", 60, lambda: mesh.pid("adapter") not in (0, before))
        yield "a killed adapter is started again", f"process {before} -> {mesh.pid('adapter')}"
        eventually("a chat is answered again", 90, lambda: _answers(client))
    except TimeoutError as error:
        raise CheckFailed(str(error)) from None
    yield "and answers again, with its old identity", repr(_ask(client)[:60])


CHECKS: tuple[ChecksOf, ...] = (
    health,
    confinement,
    exposure,
    secrecy,
    etcd_is_closed,
    membership,
    admission,
    answers,
    modalities,
    recovery,
)


def _client(mesh: ContainerMesh, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{mesh.http}/v1", api_key=key, timeout=30, max_retries=0)


def _new_client(mesh: ContainerMesh, name: str) -> openai.OpenAI:
    """A client with a key made for it, as an operator makes one."""
    made = json.loads(mesh.run("bootstrap", "nexus", "keys", "create", name, "--json"))
    return _client(mesh, made["secret"])


def _are_offered(client: openai.OpenAI, names: Iterable[str]) -> bool:
    try:
        return {model.id for model in client.models.list()} >= set(names)
    except openai.OpenAIError:
        return False


def _ask(client: openai.OpenAI) -> str:
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    text = answer.choices[0].message.content
    if not text:
        raise CheckFailed("the answer is empty")
    return text


def _answers(client: openai.OpenAI) -> bool:
    try:
        return bool(_ask(client))
    except openai.OpenAIError:
        return False
