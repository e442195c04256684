"""`python -m tools.image_model [PATH]`: train the painter and its enlarger and write them as safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from nexus_inference_adapters.painter.model import WEIGHTS

from tools.image_model.enlarging import train_enlarger
from tools.image_model.export import export
from tools.image_model.train import train


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("path", type=Path, nargs="?", default=WEIGHTS)
    arguments.add_argument("--steps", type=int, default=10_500)
    arguments.add_argument("--enlarger-steps", type=int, default=1200)
    arguments.add_argument("--checkpoints", type=Path, default=Path(".tools/image_model"))
    chosen = arguments.parse_args()
    chosen.checkpoints.mkdir(parents=True, exist_ok=True)
    painter = train(chosen.steps, chosen.checkpoints)
    enlarger = train_enlarger(chosen.enlarger_steps)
    chosen.path.parent.mkdir(parents=True, exist_ok=True)
    export(chosen.path, painter, enlarger)
    print(f"wrote {chosen.path}: {chosen.path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
