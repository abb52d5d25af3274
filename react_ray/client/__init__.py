"""Python clients of a service."""
