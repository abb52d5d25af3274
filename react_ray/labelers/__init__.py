"""Labelers: generate labels for the unlabelled pool, and decide whether they help."""
