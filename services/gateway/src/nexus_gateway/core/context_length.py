"""A prompt that does not fit, in OpenAI's own words: LiteLLM, aider and others know it by them, and then help
themselves."""

from __future__ import annotations

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core.passage import Passage

__all__ = ["reword", "too_long"]

PARAMS: dict[int, str] = {
    model_pb2.OPERATION_CHAT: "messages",
    model_pb2.OPERATION_COMPLETION: "prompt",
    model_pb2.OPERATION_EMBEDDING: "input",
}
LIMITS = ("max_completion_tokens", "max_tokens")


def too_long(operation: int, context: int, prompt: int, answer: int = 1) -> MeshError:
    """CONTEXT_LENGTH. `context` and `prompt`: tokens, 0 = not known. `answer`: tokens that were asked for."""
    metadata = {"param": PARAMS.get(operation, "messages")}
    metadata |= {"context_tokens": str(context)} if context else {}
    metadata |= {"prompt_tokens": str(prompt)} if prompt else {}
    text = _of_chat if operation == model_pb2.OPERATION_CHAT else _of_text
    if operation == model_pb2.OPERATION_EMBEDDING:
        answer = 0
    limit = f"is {context} tokens" if context else "is exceeded"
    return MeshError(
        Reason.CONTEXT_LENGTH,
        f"This model's maximum context length {limit}{text(context, prompt, answer)}",
        metadata=metadata,
    )


def reword(error: MeshError, passage: Passage) -> None:
    """Gives an adapter's CONTEXT_LENGTH the same words, with the numbers it or the table knows."""
    if error.reason is not Reason.CONTEXT_LENGTH or error.message.startswith("This model's maximum"):
        return
    request, candidate = passage.request, passage.candidate
    context = _number(error, "context_tokens") or (candidate.model.context_tokens if candidate else 0)
    asked = request.outline
    answer = next((asked[name] for name in LIMITS if asked.get(name, 0) > 0), 1)
    told = too_long(request.operation, context, _number(error, "prompt_tokens"), answer)
    error.message = told.message
    error.metadata |= told.metadata


def _number(error: MeshError, name: str) -> int:
    text = error.metadata.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _of_chat(context: int, prompt: int, answer: int) -> str:
    if prompt and prompt <= context:
        return (
            f". However, you requested {prompt + answer} tokens ({prompt} in the messages, {answer} in the "
            "completion). Please reduce the length of the messages or completion."
        )
    resulted = f"{prompt} tokens" if prompt else "more tokens" if context else "more tokens than it has"
    return f". However, your messages resulted in {resulted}. Please reduce the length of the messages."


def _of_text(_: int, prompt: int, answer: int) -> str:
    if not prompt:
        return ", however you requested more tokens. Please reduce your prompt; or completion length."
    return (
        f", however you requested {prompt + answer} tokens ({prompt} in your prompt; {answer} for the completion). "
        "Please reduce your prompt; or completion length."
    )
