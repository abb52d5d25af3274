"""Settings of a run by section; ``config.settings`` joins them."""
