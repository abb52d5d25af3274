"""What the terminal shows: progress, warnings, logs, commands that can be pasted."""
