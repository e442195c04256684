"""Parameters no client may ever hand to a backend: they redirect the request, carry credentials, or replace the
model's template. Everything else is a matter of who asks: see `permits`."""

from __future__ import annotations

from typing import Any

from nexus_gateway.validation.refusals import unsupported

ROUTING = (
    "api_base",
    "base_url",
    "api_key",
    "api_type",
    "api_version",
    "custom_llm_provider",
    "headers",
    "extra_headers",
    "extra_query",
    "extra_body",
    "organization",
    "litellm_params",
    "fallbacks",
    "proxy",
    "proxies",
)
TEMPLATE = (
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "prompt_embeds",
)
DENIED: dict[str, str] = {
    **dict.fromkeys(ROUTING, "the mesh alone decides where a request goes, and with which key. Remove it."),
    **dict.fromkeys(TEMPLATE, "it goes behind the model's own template. Remove it."),
}


def refuse_denied(found: dict[str, Any], path: str = "") -> None:
    """MeshError UNSUPPORTED_PARAMETER if `found`, the object at `path`, has a denied key."""
    if DENIED.keys().isdisjoint(found):
        return
    name = next(key for key in found if key in DENIED)
    raise unsupported(f"{path}.{name}" if path else name, DENIED[name])
