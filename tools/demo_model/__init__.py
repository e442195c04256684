"""Trains `nexus-demo`, the tiny model that answers a first `nexus up`: `python -m tools.demo_model`."""
