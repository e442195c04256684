"""How a planned request is asked of one target after the other, and its answer handed on."""

from nexus_gateway.dispatch.attempts import RetryBudget
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.resuming import Resumer
from nexus_gateway.dispatch.streams import BackendStream, LiveStream

__all__ = ["BackendStream", "Dispatcher", "LiveStream", "Resumer", "RetryBudget"]
