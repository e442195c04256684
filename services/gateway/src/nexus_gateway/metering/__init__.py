"""What was asked and used, and what it costs."""

from nexus_gateway.metering.metering import RETRIES, Costs, begin, end, estimate_usage, observe, refused

__all__ = ["RETRIES", "Costs", "begin", "end", "estimate_usage", "observe", "refused"]
