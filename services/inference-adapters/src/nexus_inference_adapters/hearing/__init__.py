"""What listens to recordings, in processes of its own: one that decodes, one that recognises. Neither knows us."""

from nexus_inference_adapters.hearing.sound import RATE, SAMPLE_BYTES, Ending

__all__ = ["RATE", "SAMPLE_BYTES", "Ending"]
