"""The painter in the box: a small flow from noise to pictures of what a prompt of its own words says."""

from nexus_inference_adapters.painter.editing import Original
from nexus_inference_adapters.painter.model import Model, load
from nexus_inference_adapters.painter.prompt import Reading, read
from nexus_inference_adapters.painter.sample import (
    GUIDANCE,
    LARGEST,
    SMALLEST,
    STEPS,
    Start,
    Step,
    finished,
    painted,
)
from nexus_inference_adapters.painter.scene import Group, Scene
from nexus_inference_adapters.painter.vocabulary import COLOURS, COUNTS, NOUNS, RELATIONS, SIZES

__all__ = [
    "COLOURS",
    "COUNTS",
    "GUIDANCE",
    "LARGEST",
    "NOUNS",
    "RELATIONS",
    "SIZES",
    "SMALLEST",
    "STEPS",
    "Group",
    "Model",
    "Original",
    "Reading",
    "Scene",
    "Start",
    "Step",
    "finished",
    "load",
    "painted",
    "read",
]
