"""The ways to ask: one module for each, and what they tell of themselves."""
