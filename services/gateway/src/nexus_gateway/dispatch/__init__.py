"""How a planned request is asked of one target after the other, and its answer handed on."""

from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.counting import in_doubt, room_missing
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.live_stream import LiveStream
from nexus_gateway.dispatch.resuming import Resumer

__all__ = ["BackendStream", "Dispatcher", "LiveStream", "Resumer", "in_doubt", "room_missing"]
