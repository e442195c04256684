"""From bytes to a checked InferenceRequest. Knows neither HTTP nor gRPC; every refusal is a MeshError."""
