"""Metrics, report and model card."""
