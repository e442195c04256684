"""Finds speech in sound, by Silero's model, in a process of its own that is started when somebody first asks."""

from nexus_gateway.detecting.detector import Detector, Listening, can_detect

__all__ = ["Detector", "Listening", "can_detect"]
