"""From a handful of labels and a pile of text to a served classifier."""
