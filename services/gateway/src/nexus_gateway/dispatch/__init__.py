"""How a planned request is asked of one target after the other, and its answer handed on."""

from nexus_gateway.dispatch.attempts import RetryBudget
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.live_stream import LiveStream, Resumer

__all__ = ["BackendStream", "Dispatcher", "LiveStream", "Resumer", "RetryBudget"]
