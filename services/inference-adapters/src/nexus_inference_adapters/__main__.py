"""python -m nexus_inference_adapters: one adapter process."""

from __future__ import annotations

import sys

from nexus_mesh.process import run

from nexus_inference_adapters.app import open_adapter
from nexus_inference_adapters.config import AdapterSettings

sys.exit(run("adapter", AdapterSettings, open_adapter))
