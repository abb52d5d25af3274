"""Terminal output, logs and command line options."""
