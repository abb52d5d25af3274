"""What each stage does: read the earlier folders, call the package, fill its own.

The order, and what a stage depends on, is in ``pipeline.graph``.
"""
