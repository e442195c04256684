"""Sound and pictures at work in processes of their own: what they may use, how they are talked to, and transcoding."""

from nexus_inference_adapters.media.confining import confine, one_more_job
from nexus_inference_adapters.media.encoding import Encoder
from nexus_inference_adapters.media.frames import FRAME_BYTES, MEDIA, OUTPUT, PROGRESS, Frame, Frames
from nexus_inference_adapters.media.pictures import as_file
from nexus_inference_adapters.media.workers import Job, Workers, child_environment

__all__ = [
    "FRAME_BYTES",
    "MEDIA",
    "OUTPUT",
    "PROGRESS",
    "Encoder",
    "Frame",
    "Frames",
    "Job",
    "Workers",
    "as_file",
    "child_environment",
    "confine",
    "one_more_job",
]
