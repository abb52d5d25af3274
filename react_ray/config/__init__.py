"""Settings: their types, bounds and defaults, and the files, flags and variables that set them."""
