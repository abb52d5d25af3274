"""A run: its stages, their order and cache, what it publishes, and the commands around it."""
