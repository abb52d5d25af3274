"""The search for hyperparameters: what is tried, what a trial is worth, what came out."""
