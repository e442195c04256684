"""What was asked and used, and what it costs."""

from nexus_gateway.metering.metering import RETRIES, Costs, begin, end, observe, refused, settle

__all__ = ["RETRIES", "Costs", "begin", "end", "observe", "refused", "settle"]
