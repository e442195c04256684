"""How a planned request is asked of one target after the other, and its answer handed on."""

from nexus_gateway.dispatch import counting
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.live_stream import LiveStream
from nexus_gateway.dispatch.queued import QueuedDispatcher
from nexus_gateway.dispatch.resuming import Resumer

__all__ = ["Dispatcher", "LiveStream", "QueuedDispatcher", "Resumer", "counting"]
