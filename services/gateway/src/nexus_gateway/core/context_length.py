"""A prompt that does not fit, in OpenAI's own words: LiteLLM, aider and others know it by them, and then help
themselves."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason
from nexus_operations import Form, spec_of

from nexus_gateway.core.request import RequestContext

__all__ = ["reword", "too_long"]


def too_long(operation: int, context: int, prompt: int, answer: int = 1) -> MeshError:
    """CONTEXT_LENGTH. `context` and `prompt`: tokens, 0 = not known. `answer`: tokens that were asked for."""
    spec = spec_of(operation)
    metadata = {"param": spec.content}
    metadata |= {"context_tokens": str(context)} if context else {}
    metadata |= {"prompt_tokens": str(prompt)} if prompt else {}
    text = _of_chat if spec.form is Form.MESSAGE else _of_text
    if not spec.generates:
        answer = 0
    limit = f"is {context} tokens" if context else "is exceeded"
    return MeshError(
        Reason.CONTEXT_LENGTH,
        f"This model's maximum context length {limit}{text(context, prompt, answer)}",
        metadata=metadata,
    )


def reword(error: MeshError, context: RequestContext) -> None:
    """Gives an adapter's CONTEXT_LENGTH the same words, with the numbers it or the table knows."""
    if error.reason is not Reason.CONTEXT_LENGTH or error.message.startswith("This model's maximum"):
        return
    request, candidate = context.request, context.candidate
    fits = _number(error, "context_tokens") or (candidate.model.context_tokens if candidate else 0)
    answer = max(1, request.spec.most(request.outline) or 1)
    worded = too_long(request.operation, fits, _number(error, "prompt_tokens"), answer)
    error.message = worded.message
    error.metadata |= worded.metadata


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
