"""Hyperparameter search: space, trials, scores and results."""
