"""Kills and other faults in a run on a cluster: what survives."""
