"""Limits of requests: authentication, rate, size and duration."""
