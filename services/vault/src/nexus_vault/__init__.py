"""Certificates, join tokens and API keys."""
