"""Lines to copy, by command: what its help ends with. A test holds every word and flag in them to be known."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["EXAMPLES"]

EXAMPLES = MappingProxyType(
    {
        "": ("nexus up", 'nexus chat "What is a mesh?"', "nexus doctor"),
        "up": ("nexus up", "nexus up --detach", "nexus up --model qwen.gguf --name qwen"),
        "stop": ("nexus stop",),
        "restart": ("nexus restart",),
        "service": ("nexus service install",),
        "join": ("nexus join < token", "nexus join --token-file token --listen 192.168.1.7"),
        "chat": (
            "nexus chat",
            'nexus chat "What is a mesh?"',
            "git diff | nexus chat --model qwen 'Review this'",
        ),
        "ocr": ("nexus ocr scan.pdf", "nexus ocr scan.pdf --pages 1-3 --json"),
        "transcribe": ("nexus transcribe talk.mp3", "nexus transcribe talk.mp3 --format srt > talk.srt"),
        "load": ("nexus load llama3.1:8b",),
        "unload": ("nexus unload llama3.1:8b --backend ollama",),
        "pull": ("nexus pull llama3.1:8b --backend ollama",),
        "rm": ("nexus rm llama3.1:8b",),
        "models": ("nexus models", "nexus models --json"),
        "status": ("nexus status", "nexus status --watch"),
        "top": ("nexus top",),
        "logs": ("nexus logs", "nexus logs gateway -f"),
        "explain": ("nexus explain gpt-4o --need tools",),
        "doctor": ("nexus doctor", "nexus doctor --verbose"),
        "keys": ("KEY=$(nexus keys create laptop)", "nexus keys revoke laptop"),
        "tenants": ("nexus tenants create guests --zone home --weight 2",),
        "token": ("nexus token create --node studio",),
        "policy": ("nexus policy check policy.toml", "nexus policy set policy.toml --comment cheaper"),
        "config": ("nexus config init", "nexus config check", "nexus config reference"),
        "completion": (
            "nexus completion bash > ~/.local/share/bash-completion/completions/nexus",
            "nexus completion zsh > ~/.zfunc/_nexus",
            "nexus completion fish > ~/.config/fish/completions/nexus.fish",
        ),
    }
)
