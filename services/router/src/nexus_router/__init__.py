"""Compiles the routing snapshot and pushes it to gateways."""
