"""Settings of a run, one module per section; ``config.settings`` combines them."""
