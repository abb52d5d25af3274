"""Protocols of the service, one module each, and their descriptions."""
