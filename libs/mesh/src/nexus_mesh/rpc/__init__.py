"""Calls between members: channels, the tunnel, servers, and what is done around every call."""

from nexus_mesh.rpc.channels import DIRECT, Duplex, Method, Options, Req, channel, merged
from nexus_mesh.rpc.client import Link, Peer
from nexus_mesh.rpc.doorkeeper import accounted
from nexus_mesh.rpc.handlers import OpenStreams
from nexus_mesh.rpc.middleware import Call
from nexus_mesh.rpc.pages import not_of_this_list, number_in, page_size, token_of, words_in
from nexus_mesh.rpc.server import MeshServer, Servicer, serve_public, start_server
from nexus_mesh.rpc.status import from_rpc_error
from nexus_mesh.rpc.streams import DuplexStream, StreamCall, read_out

__all__ = [
    "DIRECT",
    "Call",
    "Duplex",
    "DuplexStream",
    "Link",
    "MeshServer",
    "Method",
    "OpenStreams",
    "Options",
    "Peer",
    "Req",
    "Servicer",
    "StreamCall",
    "accounted",
    "channel",
    "from_rpc_error",
    "merged",
    "not_of_this_list",
    "number_in",
    "page_size",
    "read_out",
    "serve_public",
    "start_server",
    "token_of",
    "words_in",
]
