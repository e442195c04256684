"""What was asked and used, and what it costs."""

from nexus_gateway.metering import requests
from nexus_gateway.metering.costing import Costs
from nexus_gateway.metering.requests import RETRIES, begin, end
from nexus_gateway.metering.settling import settle

__all__ = ["RETRIES", "Costs", "begin", "end", "requests", "settle"]
