"""Applications on top of the package: each uses what the package offers to everybody, and nothing else."""
