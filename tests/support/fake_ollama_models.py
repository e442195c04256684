"""The models a fake Ollama has, and the rows it shows of them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MODIFIED_AT = "2026-08-21T10:11:12.131415161Z"
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DEFAULT_KEEP_ALIVE = 300.0
FOREVER = float("inf")


@dataclass(frozen=True)
class OllamaModel:
    """`name` always carries its tag. A cloud model has a `remote_host`: its prompts leave the machine."""

    name: str
    capabilities: tuple[str, ...] = ("completion", "tools")
    context_length: int = 8192
    embedding_length: int = 8
    family: str = "llama"
    size: int = 2_019_393_189
    remote_host: str = ""
    remote_model: str = ""
    num_ctx: int = 0
    """Of its Modelfile, 0 = none."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def remote(self) -> Json:
        """The fields that only cloud models have."""
        if not self.remote_host:
            return {}
        return {"remote_model": self.remote_model, "remote_host": self.remote_host}

    def details(self) -> Json:
        return {
            "parent_model": "",
            "format": "" if self.remote_host else "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": "3.2B",
            "quantization_level": "Q4_K_M",
        }

    def tag_row(self) -> Json:
        """An entry of /api/tags."""
        row = {"name": self.name, "model": self.name, **self.remote}
        return row | {
            "modified_at": MODIFIED_AT,
            "size": self.size,
            "digest": self.digest,
            "details": self.details(),
        }

    def parameters(self) -> str:
        own = [f"num_ctx                        {self.num_ctx}"] if self.num_ctx else []
        return "\n".join([*own, 'stop                           "<|eot_id|>"'])

    def show(self) -> Json:
        """The answer of /api/show."""
        return {
            "license": "",
            "modelfile": f"FROM {self.name}\n",
            "parameters": self.parameters(),
            "template": "{{ .Prompt }}",
            "details": self.details(),
            "model_info": {
                "general.architecture": self.family,
                "general.parameter_count": 3_212_749_888,
                f"{self.family}.context_length": self.context_length,
                f"{self.family}.embedding_length": self.embedding_length,
            },
            "capabilities": list(self.capabilities),
            "modified_at": MODIFIED_AT,
            **self.remote,
        }


DEFAULT_MODELS = (
    OllamaModel("llama3.2:latest"),
    OllamaModel("qwen3:8b", ("completion", "tools", "thinking"), 40_960, family="qwen3"),
    OllamaModel("llava:latest", ("completion", "vision")),
    OllamaModel("all-minilm:latest", ("embedding",), 512, family="bert"),
    OllamaModel(
        "gpt-oss:120b-cloud",
        ("completion", "tools", "thinking"),
        131_072,
        family="gptoss",
        size=384,
        remote_host="https://cloud.example:443",
        remote_model="gpt-oss:120b",
    ),
)


def canonical(name: str) -> str:
    """`llama3.2` means `llama3.2:latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def keep_alive_seconds(value: Any) -> float:
    """Seconds from a number or a Go duration such as "1h30m"; negative means forever, absent five minutes."""
    if value is None:
        return DEFAULT_KEEP_ALIVE
    seconds = float(value) if isinstance(value, int | float) else go_duration(str(value))
    return FOREVER if seconds < 0 else seconds


def go_duration(text: str) -> float:
    """Raises ValueError as Go words it."""
    sign, unsigned = (-1, text[1:]) if text.startswith("-") else (1, text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", unsigned)
    if unsigned == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * SECONDS[unit] for number, unit in parts)
