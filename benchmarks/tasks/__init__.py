"""Every task with few labels: labels only, simple methods, generated labels, and all labels."""
