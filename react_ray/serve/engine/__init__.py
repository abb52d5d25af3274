"""The model of a replica: inference, batching, health."""
