"""Processes of ours that engines and strangers' bytes are in: what they know, may use, and how they are talked to."""

from nexus_inference_adapters.children.confining import MIB, close_doors, confine, one_more_job
from nexus_inference_adapters.children.environment import child_environment
from nexus_inference_adapters.children.frames import FRAME_BYTES, MEDIA, OUTPUT, PROGRESS, Frame, Frames
from nexus_inference_adapters.children.workers import Job, Workers

__all__ = [
    "FRAME_BYTES",
    "MEDIA",
    "MIB",
    "OUTPUT",
    "PROGRESS",
    "Frame",
    "Frames",
    "Job",
    "Workers",
    "child_environment",
    "close_doors",
    "confine",
    "one_more_job",
]
