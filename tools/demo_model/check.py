"""`python -m tools.demo_model.check PATH`: puts the held-out questions to a GGUF in llama.cpp."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from openai import OpenAI
from xllamacpp.xllamacpp import CommonParams, Server

from tools.demo_model.corpus import HERE, Corpus

PASS = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    chosen = parser.parse_args()
    server = serve(chosen.path)
    client = OpenAI(base_url=f"{server.listening_address}/v1", api_key="none")
    right, total = score(client, chosen.temperature)
    print(f"{right} of {total} answered as they should be at temperature {chosen.temperature}")
    raise SystemExit(right < PASS * total)


def serve(path: Path) -> Server:
    """A llama.cpp server on a free loopback port; it stops when nothing refers to it any more."""
    parameters = CommonParams()
    parameters.model.path = str(path)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.verbosity = 0
    return Server(parameters)


def score(client: OpenAI, temperature: float) -> tuple[int, int]:
    """How many held-out questions got an answer of their intent, of how many; prints the others."""
    corpus = Corpus(0)
    intents = {intent.name: intent for intent in (*corpus.known, *corpus.unknown)}
    named = {answer: intent.name for intent in intents.values() for answer in intent.answers}
    right = total = 0
    for name, questions in tomllib.loads((HERE / "held_out.toml").read_text(encoding="utf-8")).items():
        for question in questions:
            answer, reason = ask(client, question, temperature)
            good = reason == "stop" and _family(named.get(answer, "")) == _family(name)
            right, total = right + good, total + 1
            if not good:
                print(f"{name}: {question!r} -> {named.get(answer, answer)} [{reason}]")
    return right, total


def _family(name: str) -> str:
    """The intent, but every honest refusal is as good as another."""
    return "unknown" if name.startswith("unknown") else name


def ask(client: OpenAI, question: str, temperature: float) -> tuple[str, str]:
    """The answer and its finish reason."""
    reply = client.chat.completions.create(
        model="nexus-demo",
        messages=[{"role": "user", "content": question}],
        temperature=temperature,
        max_tokens=200,
    )
    choice = reply.choices[0]
    return choice.message.content or "", choice.finish_reason


if __name__ == "__main__":
    main()
