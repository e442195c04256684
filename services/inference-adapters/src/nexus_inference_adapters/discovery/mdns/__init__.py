"""Engines that announce themselves on the local network: candidates only, and by anybody's word."""
