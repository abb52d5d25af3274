"""Monitoring of requests: ids, metrics, access log, drift, records."""
