"""Only the list of fixture modules; fixtures live in tests/support."""

pytest_plugins = [
    "faults.options",
    "support.attacks",
    "support.etcd",
    "support.control_plane",  # after what it imports, or pytest cannot rewrite its asserts
    "support.fake_ollama",
    "support.fake_openai",
    "support.fake_vllm",
    "support.llama_cpp",
    "support.mlx_server",
    "support.tiny_gguf",
    "support.tiny_mlx",
]
