"""The inference methods of an adapter."""

from __future__ import annotations

from nexus.inference.v1 import inference_pb2
from nexus_mesh.rpc import Method

__all__ = ["COMPLETE", "COMPLETE_ALONE", "COUNT", "STREAM"]

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(
    SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse, tunnelled=True
)
COMPLETE_ALONE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
"""For answers of many parts, which are large: in the tunnel the small ones would wait for them."""
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse, tunnelled=True)
COUNT = Method(
    SERVICE,
    "CountTokens",
    inference_pb2.CountTokensRequest,
    inference_pb2.CountTokensResponse,
    tunnelled=True,
)
