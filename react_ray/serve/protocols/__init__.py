"""The protocols of the service, a module each, and their descriptions."""
