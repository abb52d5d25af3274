"""The model of a replica: what computes it, who shares it, and whether it answers."""
