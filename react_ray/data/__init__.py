"""Read, check, split, augment and encode rows: plain functions."""
