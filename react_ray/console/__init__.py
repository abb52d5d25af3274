"""Terminal output and command line options: progress, warnings, logs, copyable commands."""
