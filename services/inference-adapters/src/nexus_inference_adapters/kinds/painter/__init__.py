"""The painter in the box: a small flow from noise to pictures of what a prompt of its own words says."""

from nexus_inference_adapters.kinds.painter.model import Model, load
from nexus_inference_adapters.kinds.painter.prompt import Reading, read
from nexus_inference_adapters.kinds.painter.sample import (
    GUIDANCE,
    LARGEST,
    SMALLEST,
    STEPS,
    Start,
    Step,
    finished,
    painted,
)
from nexus_inference_adapters.kinds.painter.scene import Group, Scene

__all__ = [
    "GUIDANCE",
    "LARGEST",
    "SMALLEST",
    "STEPS",
    "Group",
    "Model",
    "Reading",
    "Scene",
    "Start",
    "Step",
    "finished",
    "load",
    "painted",
    "read",
]
