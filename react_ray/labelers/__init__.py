"""Labelers: how unlabelled rows get labels, and whether these help."""
