"""The fixtures that start real servers. A suite takes them in its conftest; the unit tests don't pay for them."""

from __future__ import annotations

import pytest

__all__ = ["load"]

PARTS = (
    "support.etcd",
    "support.control_plane",  # after what it imports, or pytest cannot rewrite its asserts
    "support.fake_ollama",
    "support.fake_openai",
    "support.fake_vllm",
    "support.llama_cpp",
    "support.mlx_server",
    "support.postgres",
    "support.seaweed",
    "support.tiny_gguf",
    "support.tiny_mlx",
)


def load(config: pytest.Config) -> None:
    """Once for a run, whichever suite comes first: a server of the session is then one for all of them."""
    for part in PARTS:
        config.pluginmanager.import_plugin(part)
