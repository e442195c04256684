"""`nexus chat`: talk to a model; one question and its answer, or a conversation until Ctrl-D."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nexus_client import Client, Finished, Options, Reasoning, Served, Started, Text, ToolCall
from nexus_mesh.core import MeshError

from nexus_cli.layout import Layout
from nexus_cli.output import Failure, advise, console, print_json, shown

__all__ = ["Wanted", "chat", "key_of", "url_of"]

PROMPT = "> "
HELP = (
    "/clear forgets what was said, /model NAME asks another one, /bye or Ctrl-D ends, Ctrl-C stops an answer."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was given on the command line. `words`: a model, or none, and the words of a prompt.

    `url` empty = the mesh of this home. `verbose`: who answered is told on standard error.
    """

    words: Sequence[str] = ()
    model: str = ""
    system: str = ""
    url: str = ""
    key_file: Path | None = None
    zone: str = ""
    verbose: bool = False


@dataclass(slots=True)
class _Talk:
    """A conversation. `said` has OpenAI's messages."""

    client: Client
    model: str
    wanted: Wanted
    said: list[dict[str, object]] = field(default_factory=list[dict[str, object]])


def key_of(wanted: Wanted, given: str) -> str:
    """The key to ask with: of the file, or what the environment gave. Raises Failure when the file cannot be read."""
    if wanted.key_file is None:
        return given.strip()
    try:
        return wanted.key_file.read_text().strip()
    except OSError as error:
        raise Failure(
            f"{wanted.key_file} cannot be read: {error.strerror}.", "Give a file with a key in it."
        ) from None


def chat(layout: Layout, wanted: Wanted, key: str, *, as_json: bool) -> None:
    """Asks once when there is a prompt or standard input is no terminal, else converses."""
    model, prompt = _parted(wanted)
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    question = "\n\n".join(part for part in (prompt, piped) if part)
    if not question and not sys.stdin.isatty():
        raise Failure("There is nothing to ask.", 'Give a prompt: nexus chat "What is a mesh?"')
    with Client.by_key(wanted.url or url_of(layout), key) as client:
        talk = _Talk(client, _chosen(client, model), wanted)
        if wanted.system:
            talk.said.append({"role": "system", "content": wanted.system})
        if question:
            _once(talk, question, as_json=as_json)
        else:
            _converse(talk)


def _parted(wanted: Wanted) -> tuple[str, str]:
    """The model and the prompt. A first word alone is a model, as other tools have it; words with a space are none."""
    words = list(wanted.words)
    if not wanted.model and words and not any(map(str.isspace, words[0])):
        return words[0], " ".join(words[1:])
    return wanted.model, " ".join(words)


def url_of(layout: Layout) -> str:
    """The endpoint of this home's mesh. Raises Failure."""
    mesh = layout.read()
    if mesh is None or not mesh.http:
        raise Failure(f"No mesh is known in {layout.home}.", "Start one with `nexus up`, or give --url.")
    return mesh.http


def _chosen(client: Client, model: str) -> str:
    """The model meant: one that is offered, or that routing knows by another name; without one, the first there is."""
    known = [each.id for each in client.models()]
    if not model and not known:
        raise Failure(
            "There are no models yet.", "Start an engine, or serve a file: nexus up --model FILE.gguf"
        )
    if model and model not in known:
        near = difflib.get_close_matches(model, known, 1, 0.5)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        hint = f'{guess}`nexus models` lists them. A prompt of one word: nexus chat --model NAME "{shown(model)}"'
        with _told_as(hint):
            resolved = client.explain(
                model, "?"
            ).resolved_model  # an alias is no model, and is asked all the same
        if not resolved:
            raise Failure(f"No backend offers '{shown(model)}'.", hint)
    return model or known[0]


@contextlib.contextmanager
def _told_as(hint: str) -> Iterator[None]:
    try:
        yield
    except MeshError as error:
        raise Failure(error.message, hint) from None


def _once(talk: _Talk, question: str, *, as_json: bool) -> None:
    talk.said.append({"role": "user", "content": question})
    if as_json:
        answer = talk.client.complete(talk.model, talk.said, Options(zone=talk.wanted.zone))
        print_json(dict(answer.body))
    else:
        _answer(talk, sys.stdout.write)


def _converse(talk: _Talk) -> None:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its history and its keys
    advise(f"{talk.model}: {HELP}")
    while True:
        try:
            line = input(PROMPT).strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if line == "/bye":
            return
        if line.startswith("/"):
            _obey(talk, line)
        elif line:
            _turn(talk, line)


def _obey(talk: _Talk, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word == "/clear":
        talk.said = [message for message in talk.said if message["role"] == "system"]
    elif word == "/model" and rest.strip():
        try:
            talk.model = _chosen(talk.client, rest.strip())
        except Failure as failure:
            advise(f"{failure.message} {failure.hint}", "red")
    else:
        advise(HELP)


def _turn(talk: _Talk, line: str) -> None:
    """A question whose answer fails or is stopped is forgotten: the next one stands on what was answered."""
    talk.said.append({"role": "user", "content": line})
    try:
        text = _answer(talk, sys.stdout.write)
    except KeyboardInterrupt:
        talk.said.pop()
        advise("\nStopped.")
    except MeshError as error:
        talk.said.pop()
        advise(f"\n{error.message}", "red")
    else:
        talk.said.append({"role": "assistant", "content": text})


def _answer(talk: _Talk, write: Callable[[str], object]) -> str:
    """Writes the answer as it comes, and gives it back. Reasoning is for people who watch, not for a pipe."""
    pieces: list[str] = []
    thinking = False
    with talk.client.stream(talk.model, talk.said, Options(zone=talk.wanted.zone)) as events:
        for event in events:
            match event:
                case Started(served) if talk.wanted.verbose:
                    advise(_who(served))
                case Reasoning(text) if sys.stderr.isatty():
                    thinking = True
                    sys.stderr.write(_clean(text))
                    sys.stderr.flush()
                case Text(text):
                    if thinking:
                        thinking = False
                        sys.stderr.write("\n\n")
                        sys.stderr.flush()
                    pieces.append(text)
                    write(_clean(text))
                    sys.stdout.flush()
                case ToolCall(name=name) if name:
                    advise(f"It wants the tool {shown(name)}, which this command does not have.")
                case Finished(reasons) if reasons.get(0) == "length":
                    advise("\nIt ended at its greatest length.")
                case _:
                    pass
    write("\n")
    sys.stdout.flush()
    return "".join(pieces)


def _who(served: Served) -> str:
    cost = f", ${served.cost_dollars:.6f}" if served.cost_dollars is not None else ""
    return f"{served.model} at {served.backend} on {served.instance}, zone {served.zone}: {served.route_reason}{cost}"


def _clean(text: str) -> str:
    """A model's text is data: on a terminal it moves no cursor. In a pipe it is what it is."""
    if not sys.stdout.isatty():
        return text
    return "".join(letter if letter in "\n\t" or letter.isprintable() else "?" for letter in text)
