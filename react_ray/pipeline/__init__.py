"""Runs: stages, their order and cache, published results; check, predict, suggest and demo."""
