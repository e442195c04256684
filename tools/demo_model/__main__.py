"""`python -m tools.demo_model [PATH]`: train the demo model and write it as GGUF."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.demo_model.export_gguf import export
from tools.demo_model.train import train

SHIPPED = Path(
    "services/inference-adapters/src/nexus_inference_adapters/kinds/embedded/models/nexus-demo.gguf"
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("path", type=Path, nargs="?", default=SHIPPED)
    arguments.add_argument("--steps", type=int, default=1000)
    chosen = arguments.parse_args()
    shape, tokenizer, weights = train(chosen.steps)
    chosen.path.parent.mkdir(parents=True, exist_ok=True)
    export(chosen.path, shape, tokenizer, weights)
    print(f"wrote {chosen.path}: {chosen.path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
