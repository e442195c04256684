"""Keeps the files of tenants: what the stateless gateway must not."""
