"""Waiting for a place: bulkheads, fair order, estimates, and who is turned away at once."""
