"""What is done with models besides running them."""

from nexus_gateway.management.lifecycle import ABILITIES, Chosen, Lifecycle, choose, perform, pulled

__all__ = ["ABILITIES", "Chosen", "Lifecycle", "choose", "perform", "pulled"]
