"""The edge: HTTP and gRPC in, mesh calls out."""
