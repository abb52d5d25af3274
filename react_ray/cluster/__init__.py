"""Everything that imports Ray outside of the service: session, datasets, trainer, jobs."""
