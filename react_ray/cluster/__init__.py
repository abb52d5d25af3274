"""Every Ray edge: session, datasets, trainer."""
