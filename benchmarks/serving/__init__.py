"""How fast the service is beside others, and what it bears."""
