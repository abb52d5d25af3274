"""Applications on public data sets."""
