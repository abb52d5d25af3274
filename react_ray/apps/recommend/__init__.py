"""Recommendation from text: items, who took what, and a ranking of what each user has not seen yet."""
