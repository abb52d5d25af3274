"""The use of Ray outside of the service: session, datasets, trainer, search, jobs."""
