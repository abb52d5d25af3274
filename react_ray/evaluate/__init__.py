"""Metrics, the report page, the model card."""
